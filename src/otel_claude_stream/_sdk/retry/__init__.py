"""Retrying and resuming a stream that broke, if the policy does more than observe.

`flow` decides, without I/O, in a generator of steps (sleep, send, close). The drivers carry the steps out; the
synchronous one is generated from the asynchronous one. A call that is only observed passes through none of this.
"""
