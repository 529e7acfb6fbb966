by_hand = socket.create_connection((host, port), timeout=5)
reader = by_hand.makefile("rb")
options = {**json.loads(reader.readline()[5:]), "name": "by-hand"}
for line in [f"CONNECT {json.dumps(options)}", "sub ticks.* team mine", "unsub mine 3", "PING"]:
    by_hand.sendall(line.encode() + b"\r\n")
    while options.get("verbose", True) and reader.readline() not in (b"+OK\r\n", b"PONG\r\n"):
        pass
