"""A trained model in the hands of its users: pictures in; embeddings, answers and faces out."""
