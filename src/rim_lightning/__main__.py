"""`python -m rim_lightning` is the command `rim`."""

from rim_lightning.commands.rim.main import main

if __name__ == "__main__":
    main(prog_name="rim")
