"""The command `rim`: a trained model from the command line, one file per sub-command."""
