"""The trust domain's own certificate authority: keys in files or behind PKCS#11."""
