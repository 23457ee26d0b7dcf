"""How pages and plots look: one palette (Okabe-Ito, told apart by colour-blind readers) and one style sheet."""

COLOURS = {"face": "#0072b2", "context": "#d55e00", "fused": "#00795c", "ideal": "#8a8f98", "ink": "#22262e", "grid": "#e3e6ea"}

SERIES = ("#0072b2", "#d55e00", "#00795c", "#cc79a7", "#a07b00", "#56b4e9", "#6a4c93", "#4a4f59")
"""Colours of lines that stand for variants, in their order."""

CSS = """
:root{color-scheme:light dark;--paper:#fbfbfa;--card:#fff;--ink:#1d2129;--soft:#5d6571;--line:#e2e5e9;
--accent:#00795c;--band:#a9d5c8;--note:#fff6e0;--note-line:#e2b64a;--good:#00795c;--bad:#b3430a}
@media (prefers-color-scheme:dark){:root{--paper:#15181d;--card:#1d2127;--ink:#e8eaee;--soft:#a2a9b4;--line:#333a44;
--accent:#4cc3a1;--band:#2c6353;--note:#2d2716;--note-line:#8f7430;--good:#4cc3a1;--bad:#f0935f}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;
-webkit-text-size-adjust:100%}
main{max-width:1060px;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:clamp(1.5rem,4.5vw,2.1rem);line-height:1.2;margin:.1em 0 .3em;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:0 0 .6rem;letter-spacing:-.005em}
h3{font-size:1rem;margin:1.4rem 0 .4rem}
.eyebrow{color:var(--accent);font-weight:600;font-size:.85rem;margin:0}
.lead{color:var(--soft);margin:.2rem 0 1rem;max-width:46rem}
p{max-width:46rem;margin:.5rem 0}
section{margin-top:2.6rem;padding-top:1.5rem;border-top:1px solid var(--line)}
small,.interval,figcaption,caption,.fine{color:var(--soft)}
.fine{font-size:.875rem}
.note{background:var(--note);border-left:4px solid var(--note-line);padding:.6rem .9rem;border-radius:0 .4rem .4rem 0;
margin:1rem 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));gap:.8rem;margin:1.2rem 0}
.tiles div{background:var(--card);border:1px solid var(--line);border-radius:.7rem;padding:.8rem 1rem}
.tiles dt{color:var(--soft);font-size:.875rem}
.tiles dd{margin:0;font-size:1.9rem;font-weight:650;line-height:1.25;font-variant-numeric:tabular-nums}
.tiles small{display:block;font-size:.85rem;font-weight:400}
.scroll{overflow-x:auto;margin:.8rem 0;border:1px solid var(--line);border-radius:.7rem;background:var(--card)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.94rem}
caption{caption-side:top;text-align:left;padding:.7rem .9rem .2rem;font-size:.875rem}
th,td{padding:.5rem .9rem;text-align:right;border-top:1px solid var(--line);vertical-align:top;white-space:nowrap}
thead th{border-top:0;white-space:normal;color:var(--soft);font-weight:600;font-size:.85rem;vertical-align:bottom}
th:first-child{text-align:left;white-space:normal;min-width:6.5rem;overflow-wrap:break-word}
tbody th{font-weight:500}
.wide th,.wide td{padding-left:.6rem;padding-right:.6rem}
.strong th,.strong .value{font-weight:700}
.value{font-weight:550}
td>span:first-child{display:none}
.unit{font-size:.6em;font-weight:500;color:var(--soft);margin-left:.1em}
.interval{font-size:.85em}
.none{color:var(--soft)}
.track{display:block;position:relative;height:.32rem;margin-top:.25rem;border-radius:.2rem;background:var(--line);min-width:6rem}
.track i{position:absolute;top:0;height:100%;background:var(--band);border-radius:.2rem}
.track b{position:absolute;top:-.1rem;height:.52rem;width:.16rem;margin-left:-.08rem;background:var(--accent);border-radius:.1rem}
figure{margin:1rem 0;background:#fff;border:1px solid var(--line);border-radius:.7rem;padding:.8rem;max-width:37rem}
figure img{display:block;width:100%;height:auto}
figcaption{color:#5d6571;font-size:.875rem;padding-top:.5rem}
.forest{display:block;position:relative;height:.9rem;margin-top:.3rem;min-width:8rem;
background:linear-gradient(var(--line),var(--line)) 0 50%/100% 1px no-repeat}
.forest>*{position:absolute;top:0;bottom:0}
.forest u{left:50%;width:1px;background:var(--soft)}
.forest s{width:0;border-left:1.5px dashed var(--soft)}
.forest i{top:.22rem;bottom:.22rem;background:var(--band);border-radius:.2rem}
.forest b{top:.1rem;bottom:.1rem;width:.2rem;margin-left:-.1rem;background:var(--accent);border-radius:.1rem}
.claims{display:grid;gap:.8rem;margin:1rem 0}
.claim{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,20rem);gap:.4rem 1.6rem;background:var(--card);
border:1px solid var(--line);border-left:4px solid var(--soft);border-radius:.7rem;padding:.9rem 1.1rem}
.claim h3{margin:.1rem 0 .2rem;font-size:1.05rem;overflow-wrap:anywhere}
.claim p{margin:.15rem 0;overflow-wrap:anywhere}
.claim.supported{border-left-color:var(--good)}.claim.contradicted{border-left-color:var(--bad)}
.badge{display:inline-block;font-size:.8rem;font-weight:650;padding:.1rem .6rem;margin:0 .35rem .2rem 0;border-radius:1rem;
border:1px solid var(--line);color:var(--soft)}
.badge.supported{background:var(--good);border-color:var(--good);color:var(--card)}
.badge.contradicted{background:var(--bad);border-color:var(--bad);color:var(--card)}
.badge.undecided{background:var(--soft);border-color:var(--soft);color:var(--card)}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.9rem;max-width:none}
.legend span{display:inline-flex;align-items:center;gap:.4rem;overflow-wrap:anywhere}
.legend i{width:1.1rem;height:.35rem;border-radius:.2rem;flex:none}
.many{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,18rem),1fr));gap:1rem;align-items:start}
.many figure{margin:0}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:1rem;align-items:start}
.pair figure{margin:0}.pair+.pair{margin-top:1rem}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr));gap:1rem;margin:1rem 0}
.sample{background:var(--card);border:1px solid var(--line);border-radius:.7rem;overflow:hidden}
.sample .shots{display:flex;background:#0d0f12;height:10.5rem}
.sample .shots img{height:100%;object-fit:contain;display:block;min-width:0}
.sample .shots img:first-child:not(:last-child){width:36%}
.sample .shots img:last-child{flex:1}
.sample p{margin:0;padding:.1rem .9rem;font-size:.9rem;overflow-wrap:anywhere}
.sample p:first-of-type{padding-top:.6rem;font-weight:600}
.sample p:last-child{padding-bottom:.7rem}
.strip{display:flex;flex-wrap:wrap;gap:.6rem;margin:.8rem 0}
.strip figure{margin:0;padding:.4rem;flex:0 1 auto}
.strip figure img{display:inline-block;width:auto;height:5.6rem;margin-right:.15rem}
.strip figcaption{padding-top:.2rem;font-size:.82rem}
.scale{display:inline-block;width:6rem;height:.7rem;border-radius:.2rem;vertical-align:-.05rem}
.facts{margin:.8rem 0;font-size:.9rem}
.facts div{display:grid;grid-template-columns:minmax(8rem,13rem) 1fr;gap:.2rem 1rem;padding:.35rem 0;
border-top:1px solid var(--line)}
.facts dt{color:var(--soft)}
.facts dd{margin:0;overflow-wrap:anywhere}
details{margin:.8rem 0}
summary{cursor:pointer;color:var(--accent)}
pre{overflow-x:auto;font-size:.82rem;background:var(--card);border:1px solid var(--line);border-radius:.7rem;padding:.8rem}
@media (max-width:560px){main{padding:1.2rem .9rem 3rem}th,td{padding:.45rem .65rem}.facts div{grid-template-columns:1fr}
.tiles{grid-template-columns:1fr 1fr;gap:.6rem}.tiles dd{font-size:1.5rem}.tiles div{padding:.65rem .8rem}
section{margin-top:2rem}figure{padding:.4rem}.strip{gap:.5rem}.strip figure img{height:3.1rem}
.claim{grid-template-columns:1fr;padding:.8rem .9rem}
.wide,.wide tbody,.wide tr,.wide th,.wide td{display:block}.wide thead{display:none}.wide caption{display:block}
.wide tr{border-top:1px solid var(--line);padding:.55rem .8rem}.wide tr:first-child{border-top:0}
.wide th:first-child{padding:0 0 .25rem;border:0;font-weight:650}
.wide td{display:grid;grid-template-columns:minmax(6.5rem,38%) 1fr;gap:.6rem;padding:.16rem 0;border:0;
text-align:left;white-space:normal}
.wide td>span:first-child{display:block;color:var(--soft)}}
@media print{section{break-inside:avoid}}
"""
