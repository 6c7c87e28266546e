"""Templates of known people: store them, search them, and fill the store from folders of pictures."""
