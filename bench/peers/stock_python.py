"""`requests-oauth2client` as it comes, several threads with one key: prints its thumbprint, reads the token, calls, prints what came of it.

python bench/peers/stock_python.py URL CALLS CALLERS IDLE
"""

import json
import random
import sys
import threading
import time
from collections import Counter
from itertools import count

from requests import Session
from requests_oauth2client import DPoPKey, DPoPToken

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "stock", "version": "1"},
}
HEADERS = {
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "echo",
}
TRIES = 20


def main() -> None:
    """Make so many calls; a call that the library's own retry did not bring through is made again, as an application would."""
    url, calls, callers, idle = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    key = DPoPKey.generate()
    print(json.dumps({"jkt": str(key.dpop_jkt)}), flush=True)
    token = DPoPToken(access_token=json.loads(sys.stdin.readline())["token"], _dpop_key=key)
    numbers, told, lock = count(), Counter[str](), threading.Lock()
    burst = threading.Barrier(callers)

    def caller() -> None:
        with Session() as session:
            for _ in range(calls // callers):
                if idle and burst.wait() == 0:
                    time.sleep(random.uniform(0, idle))
                if idle:
                    burst.wait()
                call(session, next(numbers))

    def call(session: Session, number: int) -> None:
        params = {"_meta": META, "name": "echo", "arguments": {"text": f"stock {number}"}}
        body = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        for attempt in range(TRIES):
            answer = session.post(url, json=body, headers=HEADERS, auth=token)
            found = str(answer.status_code)
            if answer.status_code == 200 and f"stock {number}" not in answer.text:
                found = "refused"
            with lock:
                told["again" if found == "401" and attempt + 1 < TRIES else found] += 1
                told["first"] += attempt == 0 and found == "200"
            if found != "401":
                return

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
