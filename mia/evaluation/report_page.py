"""The report's page around its content: style, behaviour and shell; used by `report` only."""

import html
import json
from collections.abc import Mapping
from functools import cache

from mia.evaluation.figures import DARK

# Nothing may be loaded from anywhere: the browser itself refuses what a mistake might ask for.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"

_SWATCHES = (
    ":root{" + "".join(f"--s-{light[1:]}:{light};" for light in DARK) + "}\n"
    "@media (prefers-color-scheme:dark){:root{"
    + "".join(f"--s-{light[1:]}:{dark};" for light, dark in DARK.items())
    + "}}\n"
)

STYLE = (
    _SWATCHES
    + """
:root{--ink:#17202c;--soft:#566375;--faint:#637087;--page:#f6f7f9;--card:#ffffff;--line:#e1e5eb;
--accent:#0b5fa5;
--good:#0d6b4f;--good-bg:#e6f4ee;--open:#7a5200;--open-bg:#fdf3dc;--bad:#a4262c;--bad-bg:#fcebea;
--zebra:#f8f9fb;color-scheme:light}
@media (prefers-color-scheme:dark){:root{--ink:#e8ecf2;--soft:#aeb8c6;--faint:#98a4b5;--page:#10141a;
--card:#181d25;
--line:#2a323e;--accent:#6db3f2;--good:#6fd3ae;--good-bg:#12291f;--open:#f0c667;--open-bg:#2d240f;
--bad:#ff9d97;
--bad-bg:#331817;--zebra:#1c222b;color-scheme:dark}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",
Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1120px;margin:0 auto;padding:40px 24px 72px}
h1,h2,h3,p,dl,dd,ul,figure{margin:0}
h1{font-size:34px;line-height:1.15;font-weight:650;letter-spacing:-.02em}
h2{font-size:21px;line-height:1.3;font-weight:640;letter-spacing:-.01em}
h3{font-size:15px;font-weight:620;margin:22px 0 8px}
a{color:var(--accent)}
.eyebrow{font-size:13px;font-weight:600;color:var(--soft);margin-bottom:6px}
.facts{display:flex;flex-wrap:wrap;gap:6px 26px;margin:16px 0 26px;font-size:14px}
.facts div{display:flex;gap:7px;min-width:0}
.facts dt{color:var(--soft)}
.facts dd{font-weight:560;overflow-wrap:anywhere}
.verdict{border-left:5px solid;border-radius:10px;padding:20px 24px;font-size:20px;line-height:1.42;
font-weight:560;letter-spacing:-.005em}
.verdict small{display:block;font-size:13px;font-weight:600;margin-bottom:4px;letter-spacing:0}
.good{border-color:var(--good);background:var(--good-bg)}.good small{color:var(--good)}
.open{border-color:var(--open);background:var(--open-bg)}.open small{color:var(--open)}
.bad{border-color:var(--bad);background:var(--bad-bg)}.bad small{color:var(--bad)}
.warnings{list-style:none;padding:0;margin:14px 0 0;display:grid;gap:6px;font-size:15px}
.warnings li{padding:2px 0 2px 26px;position:relative}
.warnings li::before{content:"!";position:absolute;left:0;top:5px;width:17px;height:17px;
border-radius:50%;background:var(--open);
color:var(--card);font-size:12px;line-height:17px;text-align:center;font-weight:700}
.cards{display:grid;grid-template-columns:repeat(3,1fr);gap:16px;margin:28px 0 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px 22px;
min-width:0}
.card.main{border:2px solid var(--accent);padding:19px 21px}
.card .kind{font-size:14px;font-weight:600;color:var(--soft)}
.card.main .kind{color:var(--accent)}
.card .big{font-size:34px;line-height:1.15;font-weight:660;letter-spacing:-.02em;margin:8px 0 2px;
font-variant-numeric:tabular-nums}
.card .unit{font-size:13px;color:var(--soft);margin-bottom:14px}
.card dl{display:grid;grid-template-columns:auto 1fr;gap:5px 12px;font-size:14px}
.card dt{color:var(--soft)}
.card dd{text-align:right;font-variant-numeric:tabular-nums;font-weight:540}
nav{display:flex;flex-wrap:wrap;gap:4px 20px;margin:30px 0 0;padding:12px 0;
border-top:1px solid var(--line);border-bottom:1px solid var(--line);font-size:14px}
nav a{text-decoration:none;padding:4px 0}nav a:hover{text-decoration:underline}
section{margin-top:40px;scroll-margin-top:16px}
.lede{color:var(--soft);font-size:15px;margin:4px 0 14px;max-width:74ch}
.panel{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 14px 6px;
margin-bottom:16px;min-width:0}
.panel figcaption{font-size:14px;font-weight:600;padding:2px 4px 0}
.panel figcaption span{display:block;font-weight:400;color:var(--soft);font-size:13px}
.chart{width:100%}
.scroll{background:var(--card);border:1px solid var(--line);border-radius:12px;overflow:auto;
-webkit-overflow-scrolling:touch;margin-bottom:16px}
.scroll.tall{max-height:440px}
.scroll:focus-visible,th button:focus-visible,a:focus-visible{outline:2px solid var(--accent);
outline-offset:2px}
table{border-collapse:separate;border-spacing:0;width:100%;font-size:13.5px;
font-variant-numeric:tabular-nums}
th,td{padding:9px 9px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
tbody tr:last-child>*{border-bottom:0}
thead th{position:sticky;top:0;background:var(--card);font-size:13px;font-weight:600;color:var(--soft);
z-index:1}
tbody th{font-weight:540;text-align:left;position:sticky;left:0;background:var(--card)}
th.text,td.text{text-align:left}
td.wide{white-space:normal;min-width:220px}
thead th:first-child{left:0;z-index:2}
tr>:first-child{padding-left:16px}tr>:last-child{padding-right:16px}
tr.main>*{background:color-mix(in srgb,var(--accent) 9%,var(--card));font-weight:620}
.swatch{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:9px}
th button{all:unset;cursor:pointer}
th button::after{content:"";display:inline-block;width:1em;text-align:right}
th[aria-sort=ascending] button::after{content:"\\2191"}
th[aria-sort=descending] button::after{content:"\\2193"}
.stats{display:grid;grid-template-columns:repeat(auto-fit,minmax(210px,1fr));gap:1px;
background:var(--line);border:1px solid var(--line);border-radius:12px;overflow:hidden}
.stats div{background:var(--card);padding:14px 18px}
.stats dt{font-size:13px;color:var(--soft)}
.stats dd{font-size:19px;font-weight:620;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.absent{color:var(--soft);font-size:15px;border:1px dashed var(--line);border-radius:12px;
padding:14px 18px}
footer{margin-top:56px;padding-top:18px;border-top:1px solid var(--line);font-size:13px;
color:var(--faint)}
@media (max-width:820px){main{padding:24px 16px 48px}h1{font-size:27px}.cards{grid-template-columns:1fr;
gap:12px}
.card.main{order:-1}.verdict{font-size:18px;padding:16px 18px}.panel{padding:12px 6px 2px}
.panel figcaption{padding:2px 8px 0}
section{margin-top:32px}th,td{padding:8px 11px}nav{flex-wrap:nowrap;overflow-x:auto;white-space:nowrap}
.swatch{margin-right:7px}
tbody th{max-width:150px;overflow:hidden;text-overflow:ellipsis}.card:not(.main) .same{display:none}}
@media print{body{background:#fff}nav{display:none}.scroll.tall{max-height:none}section{
break-inside:avoid}}
"""
)

# Charts are drawn one after the other so that the page answers meanwhile, recoloured when the scheme changes,
# and their time axis gets as many labels as there is room for, at every zoom.
SCRIPT = """
(function(){
  var dark=matchMedia('(prefers-color-scheme: dark)');
  var MAP=JSON.parse(document.getElementById('dark-colours').textContent);
  var MONTHS='Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');
  var FADE=['rgba(11,95,165','rgba(109,179,242'];
  var small=matchMedia('(max-width: 560px)');
  function figure(div){
    var text=document.getElementById(div.dataset.figure).textContent;
    if(dark.matches){for(var k in MAP){text=text.split(k).join(MAP[k])}
      text=text.split(FADE[0]).join(FADE[1])}
    var f=JSON.parse(text),L=f.layout;
    L.hoverlabel={bgcolor:dark.matches?'#232b36':'#ffffff',bordercolor:dark.matches?'#3a4656':'#cfd6df',
      font:{size:12,family:L.font.family,color:dark.matches?'#e8ecf2':'#17202c'}};
    if(small.matches){
      L.font.size=11;L.dragmode=false;
      L.margin={l:L.yaxis.automargin?8:58,r:10,t:30,b:56};
      if(L.yaxis.title&&L.yaxis.title.text){
        L.annotations=[{text:L.yaxis.title.text,xref:'paper',yref:'paper',x:0,y:1,xanchor:'left',yanchor:'bottom',
          xshift:-50,yshift:8,showarrow:false,font:{size:11}}];
        L.yaxis.title.text='';
      }
      if(L.xaxis.type==='category'){L.xaxis.title.text='time [UTC]'}
      var named=f.data.filter(function(t){return t.showlegend!==false}).length;
      if(L.showlegend!==false&&named>1){
        var lines=Math.ceil(named/(named>4?2:3));
        L.legend={orientation:'h',traceorder:'normal',x:0.5,xanchor:'center',
          y:0,yref:'container',yanchor:'bottom',font:{size:11}};
        L.margin.b+=14+18*lines;L.height=(L.height||380)-20+18*lines;
      }
    }
    return f;
  }
  function longest(f){for(var i=0;i<f.data.length;i++){if(f.data[i].mode!=='markers')return f.data[i].x;}
    return f.data[0].x;}
  function day(t,year){return Number(t.slice(8,10))+' '+MONTHS[t.slice(5,7)-1]+(year?'<br>'+t.slice(0,4):'')}
  function ticks(x,range,width){
    var lo=Math.max(0,Math.ceil(range[0])),hi=Math.min(x.length-1,Math.floor(range[1]));
    var room=Math.max(2,Math.floor(width/80)),days=[],i;
    for(i=lo;i<=hi;i++){if(i===0||x[i].slice(0,10)!==x[i-1].slice(0,10))days.push(i);}
    if(days.length>=3){
      var every=Math.ceil(days.length/room);
      days=days.filter(function(_,j){return j%every===0});
      return [days,days.map(function(k,j){
        return day(x[k],j===0||x[k].slice(0,4)!==x[days[j-1]].slice(0,4))})];
    }
    var at=[],n=Math.min(room,hi-lo+1);
    for(i=0;i<n;i++){at.push(Math.floor(lo+(hi-lo)*(i+0.5)/n))}
    return [at,at.map(function(k,j){
      return x[k].slice(11)+(j===0||x[k].slice(0,10)!==x[at[j-1]].slice(0,10)?'<br>'+day(x[k],false):'')})];
  }
  function draw(div){
    var f=figure(div),time=f.layout.xaxis&&f.layout.xaxis.type==='category',x=time?longest(f):null;
    if(time&&x.length){
      f.layout.xaxis.range=[-0.5,x.length-0.5];
      var t=ticks(x,f.layout.xaxis.range,div.clientWidth-90);
      f.layout.xaxis.tickvals=t[0];f.layout.xaxis.ticktext=t[1];
    }
    Plotly.react(div,f.data,f.layout,{displaylogo:false,responsive:true,displayModeBar:false});
    div.dataset.drawn='1';
    if(time&&!div.dataset.bound){
      div.dataset.bound='1';
      div.on('plotly_relayout',function(e){
        var keys=Object.keys(e);
        if(!keys.some(function(k){return /^xaxis\\.(range|autorange)|^autosize/.test(k)}))return;
        var r=div.layout.xaxis.range||[0,x.length-1],t=ticks(x,r,div.clientWidth-90);
        Plotly.relayout(div,{'xaxis.tickvals':t[0],'xaxis.ticktext':t[1]});
      });
    }
  }
  var charts=[].slice.call(document.querySelectorAll('.chart'));
  function next(i){if(i<charts.length){draw(charts[i]);setTimeout(next,0,i+1)}}
  next(0);
  function again(){charts.forEach(function(c){if(c.dataset.drawn)draw(c)})}
  dark.addEventListener('change',again);small.addEventListener('change',again);
  document.querySelectorAll('th button').forEach(function(button){
    button.addEventListener('click',function(){
      var th=button.parentNode,row=th.parentNode,body=row.parentNode.parentNode.tBodies[0];
      var i=[].indexOf.call(row.children,th),down=th.getAttribute('aria-sort')!=='descending';
      [].forEach.call(row.children,function(c){c.removeAttribute('aria-sort')});
      th.setAttribute('aria-sort',down?'descending':'ascending');
      [].slice.call(body.rows).sort(function(a,b){
        var u=a.cells[i].dataset.v||a.cells[i].textContent,v=b.cells[i].dataset.v||b.cells[i].textContent;
        var d=(isNaN(u)||isNaN(v))?(u<v?-1:u>v?1:0):u-v;return down?-d:d;
      }).forEach(function(r){body.appendChild(r)});
    });
  });
})();
"""


@cache
def _plotly() -> str:
    """Return plotly's own script; imported here because most commands never need it."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def embed_json(text: str) -> str:
    """Make JSON text safe between script tags: no '<' remains, so nothing can close the tag."""
    return text.replace("<", "\\u003c")


def page(title: str, body: str, figures: Mapping[str, str]) -> str:
    """Put content into one self-contained page.

    Parameters
    ----------
    title : plain text, escaped here
    body : HTML of the page, already escaped where it holds data
    figures : element id -> plotly figure as JSON text
    """
    data = "".join(
        f'<script type="application/json" id="{html.escape(key)}">{embed_json(text)}</script>\n'
        for key, text in figures.items()
    )
    script = f"<script>{_plotly()}</script>\n" if figures else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
<script type="application/json" id="dark-colours">{embed_json(json.dumps(DARK))}</script>
{data}{script}<script>{SCRIPT}</script>
</body>
</html>
"""
