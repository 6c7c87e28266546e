"""Train RIM and the systems it is compared with alike, measure them alike, write the paper's tables and figures."""
