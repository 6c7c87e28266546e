"""Face-recognition networks: the teacher, the student and the assistant of RIM are built from them."""
