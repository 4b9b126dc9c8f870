"""Many runs on one page: ``report.html``, ``report.md`` and ``results.csv`` from nothing but their folders."""
