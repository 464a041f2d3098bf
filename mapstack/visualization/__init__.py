"""Pictures: a map from above, in camera images, curves, and the report. The only room that imports matplotlib."""

from .bev import BEVPanel, draw_bev, feature_colors, feature_strength, heat_picture, lidar_picture
from .camera import CameraView, draw_lidar, draw_map, project_lidar, project_segments
from .curves import PRCurve, curves_svg, draw_curves
from .drawn_map import DrawnMap
from .page import Table
from .report import Report, choose_frames, render_report, write_report
from .report_frame import ReportFrame

__all__ = [
    "BEVPanel",
    "CameraView",
    "DrawnMap",
    "PRCurve",
    "Report",
    "ReportFrame",
    "Table",
    "choose_frames",
    "curves_svg",
    "draw_bev",
    "draw_curves",
    "draw_lidar",
    "draw_map",
    "feature_colors",
    "feature_strength",
    "heat_picture",
    "lidar_picture",
    "project_lidar",
    "project_segments",
    "render_report",
    "write_report",
]
