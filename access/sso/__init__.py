"""Single sign-on: users come from an OpenID provider (OIDC_ISSUER), through django-allauth.

Only the provider's `sub` says who somebody is. An e-mail address or user name from the provider never opens
an account that exists already.
"""
