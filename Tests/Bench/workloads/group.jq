# SPDX-License-Identifier: Apache-2.0
group_by(.kind)
| map({kind: .[0].kind, count: length, total: (map(.amount) | add), names: (map(.name | ascii_upcase) | unique | length)})
