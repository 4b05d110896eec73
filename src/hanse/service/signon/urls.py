"""Addresses of signing in, of the second factor and of the identity provider: of allauth's, only those we use."""

from __future__ import annotations

from allauth.account import views as account
from allauth.socialaccount import views as provider
from django.urls import include, path

from hanse.service.portal import entry

urlpatterns = [
    path("login/", entry.SignIn.as_view(), name="account_login"),
    path("account/logout/", account.logout, name="account_logout"),
    path("account/inactive/", account.account_inactive, name="account_inactive"),
    path("account/signup/", account.signup, name="account_signup"),
    path("account/confirm/", account.reauthenticate, name="account_reauthenticate"),
    path("account/password/", account.password_change, name="account_change_password"),
    path("account/factor/", include("allauth.mfa.urls")),
    path("account/provider/cancelled/", provider.login_cancelled, name="socialaccount_login_cancelled"),
    path("account/provider/error/", provider.login_error, name="socialaccount_login_error"),
    path("account/provider/signup/", provider.signup, name="socialaccount_signup"),
    path("account/provider/", provider.connections, name="socialaccount_connections"),
    path("account/", include("allauth.socialaccount.providers.openid_connect.urls")),
]
