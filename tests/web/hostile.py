"""Text that would like to run in somebody else's browser."""

MARKUP = """<script>alert(1)</script><img src=x onerror=alert(1)><svg onload=alert(1)><iframe src="//evil.example.com">
"><b style="position:fixed">' onmouseover='alert(1) </textarea></title></script><script>alert(2)</script>"""

MARKDOWN = """\
# <script>alert(1)</script>

<img src=x onerror=alert(1)>
<svg/onload=alert(1)>
<iframe srcdoc="<script>alert(1)</script>"></iframe>
<a href="javascript:alert(1)">raw</a>

[script](javascript:alert(1))
[cased](JaVaScRiPt:alert(1))
[spaced](<java
script:alert(1)>)
[entity](&#106;avascript:alert(1))
[data](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)
[vb](vbscript:msgbox)
[ref]
![picture](javascript:alert(1))
![tracker](https://evil.example.com/pixel.png)
<javascript:alert(1)>
[title](https://example.com "x\\" onmouseover=\\"alert(1)")

[ref]: javascript:alert(1)

| <img src=x onerror=alert(1)> | b |
| --- | --- |
| `<script>` | <style>*{display:none}</style> |

```html
<script>alert(1)</script>
```

<form action="https://evil.example.com"><input name="password"></form>
<meta http-equiv="refresh" content="0;url=https://evil.example.com">
<base href="https://evil.example.com">
"""
