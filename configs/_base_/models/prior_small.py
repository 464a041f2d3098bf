"""Prior maps for two CPU cores: what the town has of them, and the ways in which a model can use them.

A config takes priors, puts ``LoadPriors`` before the packing, and names the part: ``model = dict(prior=...)``.
"""

# The streets; an HD map of some years ago (in training another past at every look, from today's map to one of which three
# quarters changed; one alone in testing); what earlier drives found. The town's validation streets are driven once: earlier drives are tested on the streets of another town,
# which no training sees. configs/tables/priors.py makes both stores.
street_prior = dict(type="StreetPrior", files="data/town/osm/town.osm")
street_prior_revisited = dict(type="StreetPrior", files="data/town_revisited/osm/town.osm")
stale_prior = dict(type="HDMapPrior", strength=(0.0, 3.0), pasts=16)
stale_prior_test = dict(type="HDMapPrior", strength=1.0, seed=100)
drive_prior = dict(type="DrivePrior", store="data/town/drives")
drive_prior_revisited = dict(type="DrivePrior", store="data/town_revisited/drives")
revisited = "data/town_revisited/localisation/val.parquet"

# In training: gone, incomplete, or of another place, so that a wrong map is not believed.
prior_noise = dict(drop_map=0.2, drop_source=0.1, drop_vector=0.05, exchange=0.2)
encoder = dict(type="UnifiedVectorEncoder")
queries = dict(labels=(0, 1, 2), max_queries=30)  # dividers, crossings, boundaries: what the decoder predicts, too
unified_prior = dict(
    type="PriorMaps",
    noise=prior_noise,
    parts=dict(unified=dict(type="VectorPrior", encoder=encoder, attention=dict(), queries=queries, change=dict())),
)
unified_street_prior = dict(
    type="PriorMaps",
    noise=prior_noise,
    parts=dict(unified=dict(type="VectorPrior", encoder=encoder, attention=dict(), change=dict())),
)
polyline_prior = dict(
    type="PriorMaps",
    noise=prior_noise,
    parts=dict(
        polyline=dict(
            type="VectorPrior",
            encoder=dict(type="PolylineSequenceEncoder", num_layers=3),
            attention=dict(local=False),
        )
    ),
)
raster_prior = dict(type="PriorMaps", noise=prior_noise, parts=dict(raster=dict(type="RasterPrior")))
