"""The verbs of the command line. Only this floor and mia.__main__ know Hydra and the shape of conf/."""
