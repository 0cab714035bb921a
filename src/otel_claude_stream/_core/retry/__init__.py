"""What is done about a stream that broke: the policy, the decision, and the continuation of a text."""
