"""What is trained: train.yaml read and written, model shapes, their parameters, FLOPs and bytes."""
