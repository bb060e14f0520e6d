"""Three short stories on an embedded broker: real servers, a real agent, nobody's real money."""
