"""What the stack in containers (docker-compose.yml) needs before its first service starts."""
