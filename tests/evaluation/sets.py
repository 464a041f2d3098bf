"""Small random sets of frames in the submission form."""

import numpy as np


def random_line(rng: np.random.Generator, num_vertices: int, dim: int = 2) -> np.ndarray:
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.3, num_vertices))
    steps = rng.uniform(0.5, 4, num_vertices)[:, None] * np.stack([np.cos(heading), np.sin(heading)], 1)
    line = rng.uniform([-30, -15], [30, 15]) + np.cumsum(steps, 0)
    return line if dim == 2 else np.concatenate([line, rng.normal(0, 1, (num_vertices, 1))], 1)


def random_set(
    seed: int, num_frames: int = 12, num_classes: int = 3, num_targets: int = 6, num_predictions: int = 10, dim: int = 2
) -> tuple[dict, dict]:
    """Predictions and targets by token; predictions are shifted, bent and sometimes reversed targets, or noise."""
    rng = np.random.default_rng(seed)
    predictions, targets = {}, {}
    for frame in range(num_frames):
        lines = [random_line(rng, int(rng.integers(2, 9)), dim) for _ in range(rng.integers(0, num_targets + 1))]
        labels = rng.integers(0, num_classes, len(lines)).tolist()
        vectors, predicted_labels = [], []
        for _ in range(rng.integers(0, num_predictions + 1)):
            if len(lines) and rng.random() < 0.8:
                owner = int(rng.integers(len(lines)))
                line = lines[owner] + rng.normal(0, rng.choice([0.1, 0.5, 1.5]), dim)
                line = line + rng.normal(0, 0.2, line.shape)
                vectors.append(line[::-1] if rng.random() < 0.3 else line)
                predicted_labels.append(labels[owner])
            else:
                vectors.append(random_line(rng, 5, dim))
                predicted_labels.append(int(rng.integers(num_classes)))
        token, scene = f"token-{rng.integers(1_000_000):06d}-{frame}", f"scene-{frame // 3}"
        predictions[token] = {
            "vectors": [line.tolist() for line in vectors],
            "labels": predicted_labels,
            "scores": np.round(rng.uniform(0, 1, len(vectors)), 2).tolist(),  # two decimals: ties happen
        }
        targets[token] = {"vectors": [line.tolist() for line in lines], "labels": labels, "scene": scene}
    return predictions, targets


def perfect(targets: dict, score: float = 0.9) -> dict:
    """Predictions that equal the targets."""
    return {
        token: {
            "vectors": entry["vectors"],
            "labels": entry["labels"],
            "scores": [score] * len(entry["labels"]),
        }
        for token, entry in targets.items()
    }


def metre_line(y: float, length: float = 20.0, x: float = -10.0) -> list[list[float]]:
    """A straight line along x at height ``y``."""
    return [[x, y], [x + length, y]]
