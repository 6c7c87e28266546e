"""How fast training is: the step of one configuration, and tables of many."""
