"""Adapter on the `openai` client: any endpoint that speaks OpenAI's chat completions."""
