# Images of what the embedded model was pre-trained on.
known_shapes = dict(
    type="ShapesDataset",
    colors=["red", "green", "blue", "yellow", "white", "black"],
    shapes=["circle", "square", "triangle", "cross"],
    num_objects=(1, 3),
    num_absent=(1, 2),
)
