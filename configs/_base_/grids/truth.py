"""What counts as truth: stated once, inherited by every grid; models, vectorizer and metric get these names."""

classes = ("divider", "ped_crossing", "boundary")
divider_rule = "maptrv2"
num_points = 20
