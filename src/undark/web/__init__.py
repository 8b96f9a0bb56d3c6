"""The desk: a page on this machine to look at photos, compare, choose settings and export.

`app` answers requests, through `guard`; `desk` holds what they are about: the list of photos
(`library`, `bursts`), those that are open (`opened`), the exports (`exports`) and the state folder
(`storage`). All restoring goes through `undark.restoring`.
"""
