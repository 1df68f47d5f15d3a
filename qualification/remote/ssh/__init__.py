"""SSH connections to hosts: host keys, login, proxies, and commands that speak in lines."""
