"""The paper's tables and figures, one file each, with our figures beside the quoted ones."""
