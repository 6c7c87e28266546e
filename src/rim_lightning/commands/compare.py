"""rim-compare: the tables and figures of the paper from the command line."""

from omegaconf import DictConfig

from rim_lightning.commands.hydra_command import hydra_command


@hydra_command("rim-compare")
def main(cfg: DictConfig) -> None:
    """Train and measure what a table or figure shows, and write it."""
    from rim_lightning.comparison.run import run  # not at the top of the file: `--help` should not wait for torch

    run(cfg)


if __name__ == "__main__":
    main()
