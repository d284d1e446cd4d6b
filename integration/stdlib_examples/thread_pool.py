"""The ThreadPoolExecutor example of the standard library's documentation (docs.python.org,
library/concurrent.futures.html), with the class name changed. The pages are those of a server on this machine,
whose address comes on the command line."""

# The code below is the documentation's, to the letter.
# ruff: noqa
# fmt: off

import compute_executor
import concurrent.futures
import sys
import urllib.request

SERVER = sys.argv[1]
URLS = [f'{SERVER}/foxnews/',
        f'{SERVER}/cnn/',
        f'{SERVER}/europe.wsj/',
        f'{SERVER}/bbc/',
        f'{SERVER}/nonexistent-subdomain/']

# Retrieve a single page and report the URL and contents
def load_url(url, timeout):
    with urllib.request.urlopen(url, timeout=timeout) as conn:
        return conn.read()

# We can use a with statement to ensure threads are cleaned up promptly
with compute_executor.Executor(max_workers=5) as executor:
    # Start the load operations and mark each future with its URL
    future_to_url = {executor.submit(load_url, url, 60): url for url in URLS}
    for future in concurrent.futures.as_completed(future_to_url):
        url = future_to_url[future]
        try:
            data = future.result()
        except Exception as exc:
            print('%r generated an exception: %s' % (url, exc))
        else:
            print('%r page is %d bytes' % (url, len(data)))
