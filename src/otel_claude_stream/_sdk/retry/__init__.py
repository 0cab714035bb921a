"""What is done about a stream that broke, where the policy says more than to observe.

`flow` holds the state of one call and one generator of steps (sleep, send, close); `sync_driver` and `async_driver`
carry the steps out, and differ in `await` only. Nothing of this is in the way of a call that is only observed.
"""
