"""The command `stylegan-swap`: one file per verb."""
