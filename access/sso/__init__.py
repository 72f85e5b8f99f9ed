"""Single sign-on: people come from an OpenID provider (OIDC_ISSUER), through django-allauth.

Who somebody is, the provider's `sub` says and nothing else: an e-mail address or a user name of the provider
never opens an account that is here already.
"""
