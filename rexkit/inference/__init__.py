"""Predictions for images: `Predictor`, its arguments and results, many files, Ray, serving."""
