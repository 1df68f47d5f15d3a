"""The gate: may the NICs of a stored run enter production, by a site's policy?

- `policy`: the form of a policy file.
- `answers`: one answer for each rule, of the run and of each NIC.
- `decision`: from the answers to the outcome of each NIC and of the run, with its exit code.
- `certificate`: what the gate says, with everything that it rests on.
- `paper`: the certificate as JSON, page, PDF and signature.
"""
