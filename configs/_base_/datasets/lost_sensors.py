"""Steps that leave sensors out: by chance in training, by name in testing (``LoseSensors`` loses none until it is given some)."""

rings = [dict(type="DropRings", frame_prob=0.3, max_fraction=0.5)]
# It stands before the sensors are dropped: depth teaches the cameras also where the model gets no LiDAR.
depth = [dict(type="LidarDepth", stride=8)]
drop = [dict(type="DropSensors", camera_prob=0.15, all_cameras_prob=0.15, lidar_prob=0.15)]
lose = [dict(type="LoseSensors", cameras=(), lidar=False)]
