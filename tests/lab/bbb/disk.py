# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a BigBlueButton 3.0 node has on its disk: the packages' own files, abridged to what plays and tests may meet, and what its
installer has written for the operator. Paths as in docs/administration/customize.md; names and defaults as in bbb-web's
bigbluebutton.properties, bbb-apps-akka's and bbb-fsesl-akka's application.conf, bbb-html5's settings.yml and bbb-webrtc-sfu's default.yml.
"""

from __future__ import annotations

RELEASE = "3.0.34"
RELEASE_FILE = "/etc/bigbluebutton/bigbluebutton-release"
WEB_PACKAGE = "/usr/share/bbb-web/WEB-INF/classes/bigbluebutton.properties"
WEB = "/etc/bigbluebutton/bbb-web.properties"
AKKA = "/etc/bigbluebutton/bbb-apps-akka.conf"

WEB_DEFAULTS = """\
# These are the default properties of BigBlueButton's web application.

# Number of minutes the conversion should take.
maxConversionTime=5
maxNumPages=200
maxFileSizeUpload=30000000
numConversionThreads=5

# ALWAYS_ACCEPT, ALWAYS_DENY, ASK_MODERATOR
defaultGuestPolicy=ALWAYS_ACCEPT
defaultWelcomeMessage=Welcome to <b>%%CONFNAME%%</b>!
defaultWelcomeMessageFooter=

# 0: no limit
defaultMaxUsers=0
maxUserConcurrentAccesses=3
# Minutes; 0: no end
defaultMeetingDuration=0
clientLogoutTimerInMinutes=0
meetingExpireIfNoUserJoinedInMinutes=5
meetingExpireWhenLastUserLeftInMinutes=1
endWhenNoModerator=false
endWhenNoModeratorDelayInMinutes=1
userInactivityInspectTimerInMinutes=0
userInactivityThresholdInMinutes=30

disableRecordingDefault=false
autoStartRecording=false
allowStartStopRecording=true
recordFullDurationMedia=false
notifyRecordingIsOn=false
breakoutRoomsRecord=false
defaultKeepEvents=false
learningDashboardCleanupDelayInMinutes=2

webcamsOnlyForModerator=false
meetingCameraCap=0
userCameraCap=3
maxPinnedCameras=3
muteOnStart=true

bigbluebutton.web.serverURL=http://bigbluebutton.example.com
bigbluebutton.web.logoutURL=default
defaultHTML5ClientUrl=${bigbluebutton.web.serverURL}/html5client
presentationBaseURL=${bigbluebutton.web.serverURL}/bigbluebutton/presentation
accessControlAllowOrigin=${bigbluebutton.web.serverURL}
graphqlWebsocketUrl=${bigbluebutton.web.serverURL}/graphql
graphqlApiUrl=${bigbluebutton.web.serverURL}/api/rest

allowRequestsWithoutSession=false
defaultHttpSessionTimeout=14400
sessionsCleanupDelayInMinutes=60
apiVersion=2.0
allowRevealOfBBBVersion=false
securitySalt=330a8b08c3b4c61533e1d0c5ce1ac88f
supportedChecksumAlgorithms=sha1,sha256,sha384,sha512
allowFetchAllRecordings=true
allowOverrideClientSettingsOnCreateCall=false
serviceEnabled = true
redisHost=127.0.0.1
redisPort=6379
redisPassword=
insertDocumentSupportedProtocols=https
insertDocumentBlockedHosts=localhost
scanUploadedPresentationFiles=false
#pluginManifests=
disabledFeatures=
"""

AKKA_DEFAULTS = """\
pekko {
  loglevel = "INFO"
}

client {
  clientSettingsFilePath = "/usr/share/bigbluebutton/html5-client/private/config/settings.yml"
  clientSettingsOverrideFilePath = "/etc/bigbluebutton/bbb-html5.yml"
}

redis {
  host="127.0.0.1"
  port=6379
  password=""
}

services {
  bbbWebAPI = "https://192.168.23.33/bigbluebutton/api"
  sharedSecret = "changeme"
  checkSumAlgorithmForBreakouts = "sha256"
}

http {
  interface = "127.0.0.1"
  interface = ${?INTERFACE}
  port = 8901
  port = ${?PORT}
}

voiceConf {
  recordCodec = "opus" # wav, ogg, flac, opus
  muteOnStartThreshold = 0
}
"""

FSESL_DEFAULTS = """\
freeswitch {
  esl {
    host="127.0.0.1"
    port=8021
    password="ClueCon"
  }
}

redis {
  host="127.0.0.1"
  port=6379
  password=""
}
"""

HTML5_DEFAULTS = """\
public:
  app:
    clientTitle: BigBlueButton
    skipCheck: false
    defaultSettings:
      application:
        animations: true
        chatAudioAlerts: false
  kurento:
    wsUrl: HOST
    cameraQualityThresholds:
      enabled: true
  chat:
    enabled: true
  pads:
    url: HOST
"""

SFU_DEFAULTS = """\
redisHost: 127.0.0.1
redisPort: 6379
freeswitch:
  ip: 127.0.0.1
  port: 5066
  esl_password: ClueCon
mediasoup:
  worker:
    rtcMinPort: 24577
    rtcMaxPort: 32768
mediaThresholds:
  global: 0
  perRoom: 0
  perUser: 0
prometheus:
  enabled: false
  host: localhost
"""

RECORDER_DEFAULTS = """\
debug: false
recorder:
  directory: /var/lib/bbb-webrtc-recorder
webrtc:
  rtcMinPort: 24577
  rtcMaxPort: 32768
"""

MIDDLEWARE_DEFAULTS = """\
server:
  host: 127.0.0.1
  port: 8378
  max_connections: 500
log_level: INFO
"""

RECORDING_DEFAULTS = """\
bbb_version: '3.0.0'
playback_host: bigbluebutton.example.com
playback_protocol: https
raw_audio_src: /var/freeswitch/meetings
recording_dir: /var/bigbluebutton/recording
published_dir: /var/bigbluebutton/published
steps:
  archive: sanity
  sanity: captions
  captions: process:presentation
  process:presentation: publish:presentation
"""

PRESENTATION_DEFAULTS = """\
video_output_width: 640
video_output_height: 480
audio_offset: 0
video_formats:
  - webm
"""

PACKAGE = {
    WEB_PACKAGE: WEB_DEFAULTS,
    "/usr/share/bbb-apps-akka/conf/application.conf": AKKA_DEFAULTS,
    "/usr/share/bbb-fsesl-akka/conf/application.conf": FSESL_DEFAULTS,
    "/usr/share/bigbluebutton/html5-client/private/config/settings.yml": HTML5_DEFAULTS,
    "/usr/local/bigbluebutton/bbb-webrtc-sfu/config/default.yml": SFU_DEFAULTS,
    "/etc/bbb-webrtc-recorder/bbb-webrtc-recorder.yml": RECORDER_DEFAULTS,
    "/usr/share/bbb-graphql-middleware/config.yml": MIDDLEWARE_DEFAULTS,
    "/usr/local/bigbluebutton/core/scripts/bigbluebutton.yml": RECORDING_DEFAULTS,
    "/usr/local/bigbluebutton/core/scripts/presentation.yml": PRESENTATION_DEFAULTS,
    "/usr/local/bigbluebutton/core/scripts/process/presentation.rb": "# Makes recordings of the format presentation.\n",
}
"""What packages own; an upgrade replaces it."""

UNITS = {
    "bbb-apps-akka": (AKKA, "/etc/bigbluebutton/bbb-html5.yml"),
    "bbb-fsesl-akka": ("/etc/bigbluebutton/bbb-fsesl-akka.conf",),
    "bbb-webrtc-sfu": ("/etc/bigbluebutton/bbb-webrtc-sfu/production.yml",),
    "bbb-webrtc-recorder": ("/etc/bigbluebutton/bbb-webrtc-recorder.yml",),
    "bbb-graphql-middleware": ("/etc/bigbluebutton/bbb-graphql-middleware.yml",),
    "bbb-rap-resque-worker": ("/etc/bigbluebutton/recording/recording.yml", "/etc/bigbluebutton/recording/presentation.yml"),
}
"""Units beside bbb-web, and the operator's files that each reads when it starts; it fails on one that it cannot read."""


def operator(secret: str, host: str) -> dict[str, str]:
    """What the installer and ``bbb-conf --setip`` leave in /etc/bigbluebutton."""
    return {
        RELEASE_FILE: f"BIGBLUEBUTTON_RELEASE={RELEASE}\n",
        WEB: f"# Settings of this server; they take the place of the package's.\n\nbigbluebutton.web.serverURL=https://{host}\n\n"
             f"securitySalt={secret}\n",
        AKKA: '// The package\'s settings first\ninclude "/usr/share/bbb-apps-akka/conf/application.conf"\n\n'
              f'services {{\n  bbbWebAPI="https://{host}/bigbluebutton/api"\n  sharedSecret="{secret}"\n}}\n',
        "/etc/bigbluebutton/bbb-fsesl-akka.conf":
            'include "/usr/share/bbb-fsesl-akka/conf/application.conf"\n\nfreeswitch {\n  esl {\n    password="ClueCon"\n  }\n}\n',
    }  # fmt: skip
