"""What a GPU does: networks, training, prediction and evaluation."""
