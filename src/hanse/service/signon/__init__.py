"""Who somebody is: a password of this service, an identity provider (OpenID Connect), and officers' second factor."""
