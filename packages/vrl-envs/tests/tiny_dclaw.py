"""A stand-in for ROBEL's model: the same names, of a few capsules, in the wheel's folders."""

from __future__ import annotations

from pathlib import Path

NOTICE = "<!-- a notice before the declaration, as in the wheel -->\n<?xml version='1.0'?>\n"
MAIN = "dclaw/assets/dclaw3xh_valve3_v0.xml"
CHAIN = "robel-scenes/dclaw/assets/chain3xh.xml"
_FINGERS = {"FF": "FFJ10 FFJ11 FFJ12", "MF": "MFJ20 MFJ21 MFJ22", "TH": "THJ30 THJ31 THJ32"}
_PLACES = {"FF": ".05 .03 0", "MF": ".05 -.03 0", "TH": "-.06 0 0"}


def finger(name: str, prefix: str = "") -> str:
    base, middle, tip = (prefix + joint for joint in _FINGERS[name].split())
    link = "<geom type='capsule' size='.01' fromto='0 0 0 0 0 -.06'/>"
    return f"""
<body pos='{_PLACES[name]}'>{link}<joint name='{base}' axis='0 1 0' range='-.45 1.35'/>
 <body pos='0 0 -.07'>{link}<joint name='{middle}' axis='1 0 0' range='-2 2'/>
  <body pos='0 0 -.07'>{link}<joint name='{tip}' axis='1 0 0' range='-2 2'/></body></body></body>"""


def model() -> str:
    joints = " ".join(_FINGERS.values()).split()
    servos = "".join(f"<position name='{name}' joint='{name}' kp='2'/>" for name in joints)
    arms = "".join(
        f"<geom type='capsule' size='.015' fromto='0 0 .1 {end} .1' rgba='1 1 1 1'/>"
        for end in ("0 .06", ".05 -.03", "-.05 -.03")
    )
    return f"""<mujoco>
 <include file="../../{CHAIN.replace("chain3xh", "dependencies3xh")}"/>
 <compiler angle="radian"/>
 <option timestep="0.0025"/>
 <worldbody>
  <light pos="0 0 1"/>
  <camera name="targeting" pos="1 1 2" mode="targetbodycom" target="dClaw"/>
  <camera name="object_target" pos="0 0 .5"/>
  <geom type="plane" size="1 1 .1" rgba=".3 .3 .3 1"/>
  <body name="mount" pos="0 0 .33">
   <geom name="mount" type="cylinder" size=".03 .005" rgba=".7 .7 .7 1"/>
   <include file="../../{CHAIN}"/>
   <body name="_dclaw">{"".join(finger(name, "_") for name in _FINGERS)}</body>
  </body>
  <body name="object"><body name="valve">{arms}
   <joint name="valve_OBJRx" axis="0 0 1" range="-6.28 6.28" damping=".1"/></body></body>
  <body name="target">
   <site type="capsule" size=".02 .06" pos=".1 0 .01" euler="0 1.57 0" rgba="0 1 0 1"/>
  </body>
 </worldbody>
 <actuator>{servos}</actuator>
</mujoco>"""


def write_model(root: Path) -> Path:
    """Write the model below `root`, with the wheel's misplaced declarations, and return `root`."""
    claw = "".join(finger(name) for name in _FINGERS)
    defaults = "<default><joint limited='true' damping='.1' armature='.001'/></default>"
    files = {
        MAIN: model(),
        CHAIN: f"<mujocoinclude><body name='dClaw'>{claw}</body></mujocoinclude>",
        CHAIN.replace("chain3xh", "dependencies3xh"): f"<mujocoinclude>{defaults}</mujocoinclude>",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(NOTICE + text)
    return root
