"""What a trained run uses: its inputs are changed on purpose, and its answers compared with those to the intact inputs."""
