"""mapstack: vector HD maps around the car, from cameras, LiDAR and whatever map is already there."""

__version__ = "0.1.0"
