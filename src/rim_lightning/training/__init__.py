"""Training of RIM and of what it is compared with: phases, schedules, Lightning modules, and the run itself."""
