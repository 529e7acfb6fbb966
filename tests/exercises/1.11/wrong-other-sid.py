# says: is there an UNSUB after your SUB, with the same sid
by_hand = socket.create_connection((host, port), timeout=5)
by_hand.sendall(b'CONNECT {"name": "by-hand"}\r\nSUB ticks.* 1\r\nUNSUB 3 3\r\n')
