"""Write the demo's support tickets to standard output, one JSON object a line, with the mess of production in them.

Never writes a real person's data: names and addresses are Faker's, phone numbers and mail domains are those reserved
for fiction and examples, card numbers are the published test numbers. The same Faker always gives the same bytes.

    python conf/recipes/demo/make_tickets.py > conf/recipes/demo/tickets.jsonl

How a reader gets the labels from a ticket's text (the demo's figures rest on it):
- category is what happened: billing (money asked or taken for a service), outage (a service does not work), login (no
  way into an account), delivery (a parcel has not come, or came wrong), cancellation (the customer leaves), hardware
  (a device at home is broken or must be put up), upgrade (the customer wants another plan). A thing that is said to be
  fine, or said not to be meant, does not count.
- priority: high where harm or a near date is told, low where the customer says that it can wait, else normal. Anger
  alone is normal.
- product: fibre, mobile, tv or cloud: what the trouble is about, not what is mentioned beside it.
- action: what the customer asks for. Where nothing is asked: refund for a wrong charge, explain_bill for an unclear
  one, send_technician for an outage or a device to be put up, reset_password for a lost login, track_parcel for a
  parcel that has not come, replace_device for a thing that is broken or came wrong, close_account for leaving,
  change_plan for another plan. Who asks to be phoned gets call_back, whatever else is told.

In the phrases, `{a|b}` is a choice, `[name]` stands for a phrase of this file, `<name>` for a personal value.
"""

from __future__ import annotations

import json
import random
import re
import sys
from dataclasses import dataclass, replace

from faker import Faker

SEED = 20261121
ENGLISH, GERMAN = 1050, 52
DUPLICATES, NEAR_DUPLICATES, CONTRADICTIONS = 65, 40, 13
EMPTY, TRUNCATED, BROKEN, MISENCODED = 7, 9, 13, 8

PRODUCTS = ("fibre", "mobile", "tv", "cloud")
PRIORITIES = ("normal", "normal", "normal", "high", "high", "low", "low")

# Each product's service, what comes in a parcel, what stands at home, how an outage looks, the login, the bigger plan.
WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "fibre": {
        "svc": (
            "{my|our} {broadband|fibre line|home internet|fibre connection|house wifi}",
            "the {line that brings the web into our house|wifi the whole family hangs on|connection in my home office}",
        ),
        "dev": ("router", "modem", "wifi box", "mesh unit", "white box for the wall where the fibre comes in"),
        "gear": ("router", "modem", "wifi box", "mesh unit", "white box where the fibre comes in"),
        "sym": (
            "{no website opens|every page times out} on {any laptop in the house|both our computers|wifi or cable}",
            "the {box in the hall|router} {blinks red|shows one orange light} and nothing in the house is online",
            "we get {2|3|4} Mbit at home where {500|250} is promised",
            "{my home office|the whole house} is {offline|cut off from the web}",
        ),
        "place": ("the router page", "the broadband portal", "the site where I manage my home internet"),
        "more": ("the gigabit line", "a faster line at home", "500 Mbit instead of 100", "better wifi in every room"),
    },
    "mobile": {
        "svc": (
            "{my|our} {mobile contract|SIM-only plan|5G tariff|phone plan|handset contract|second SIM}",
            "{what I call and text with on the road|the data I use on the train|my daughter's number}",
        ),
        "dev": ("handset", "SIM card", "phone of the new contract", "second SIM", "smartphone"),
        "gear": ("handset", "phone that came with the contract", "smartphone", "second handset"),
        "sym": (
            "{I have no bars|there is no signal} {anywhere in town|from here to the station|since I left home}",
            "my calls {drop after ten seconds|do not go through} and texts {stay unsent|come hours late}",
            "roaming is dead {in Spain|in Italy|at the airport}, I cannot ring anybody",
            "{emergency calls only|no service} is all I read at the top of my screen",
        ),
        "place": ("the mobile app", "the app with my minutes and data", "the SIM portal"),
        "more": ("unlimited data", "20 GB more a month on the road", "5G", "a plan with roaming in the US"),
    },
    "tv": {
        "svc": (
            "{my|our} {TV package|television subscription|sports bundle|film bundle|telly package}",
            "the {subscription we watch the match with|channels in the living room|series my wife follows}",
        ),
        "dev": ("set-top box", "decoder", "remote control", "recorder for the telly", "TV box"),
        "gear": ("set-top box", "decoder", "recorder under the telly", "TV box"),
        "sym": (
            "{every channel is black|the screen says no signal} {since the news|in both rooms|again}",
            "the picture {freezes at every goal|breaks into squares} and the sound is gone",
            "recordings are {empty|gone} and live programmes {stop after a minute|do not start}",
            "all {sports|film} channels {say not available|show a grey screen}",
        ),
        "place": ("the TV app", "the streaming site for your channels", "the player on our telly"),
        "more": ("the sports channels", "the film pack", "programmes in 4K", "the big bundle with all channels"),
    },
    "cloud": {
        "svc": (
            "{my|our} {online storage|cloud backup|photo storage|file sync|2 TB online drive}",
            "the {place where my photos are kept|safe copy of our office files|space for our shared folders}",
        ),
        "dev": ("backup drive", "storage stick", "little backup server", "home drive that copies our files"),
        "gear": ("backup drive", "little backup server", "home drive that copies our files"),
        "sym": (
            "my files {do not sync|stopped syncing} {on any machine|since Monday|after the update}",
            "every upload {hangs at 3 percent|ends in an error} and the shared folder is {empty|not reachable}",
            "last night's backup {failed|never ran} and old photos {do not open|are not listed}",
            "none of us can {open|save} the documents we keep {with you|online}",
        ),
        "place": ("my online drive", "the backup portal", "the page with all my photos"),
        "more": ("another terabyte for photos", "5 TB of storage", "space for ten users", "longer file history"),
    },
}

# What happened, by category, and the action that follows if the customer asks for nothing else.
PROBLEMS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "billing": (
        (
            "refund",
            (
                "You {took|charged me} [money] {twice|two times|double} for [svc] {this month|last week|in [month]}",
                "{There is|I found} a {second|wrong} charge of [money] on the {statement|invoice} for [svc]",
                "I {paid|was billed} [money] for [svc] {although|even though} the first months were promised free",
                "[money] left my account for [svc], {which was still free|at the old price, not the agreed one}",
                "The discount on [svc] is missing, I paid [money] too much",
                "The trial of [svc] was {free|for nothing}, yet [money] {went off|was taken} {again|in [month]}",
                "Why do I pay [money] for [svc] of {a stranger|the last tenant}, {that is not mine|I never signed}",
                "{Somebody|Your system} booked [money] extra under [svc], {by mistake|never ordered}",
            ),
        ),
        (
            "explain_bill",
            (
                "{I do not understand|Nobody here understands} the [month] invoice for [svc]",
                "The invoice for [svc] {went up|jumped} to [money] and I cannot see why",
                "What is the {service fee|position called adjustment|item of [money]} under [svc]",
                "The amount for [svc] is different {every month|each time}, {now|this time} [money]",
                "On the bill for [svc] I read [money] with a code {nobody at home knows|I cannot place}",
                "How do you arrive at [money] for [svc] {in [month]|on the last bill}",
                "{Half|A third} of the [money] for [svc] {has no name|is called other}, what is it",
                "The sum for [svc] does not fit {my contract|what I add up}, {how come|how is it made}",
            ),
        ),
    ),
    "outage": (
        (
            "send_technician",
            (
                "{Since [since]|For hours} [sym]",
                "[sym], {and it has been so since [since]|already the second day}",
                "{I restarted everything|We pulled every plug} {twice|and waited}, still [sym]",
                "Nothing {works|goes} with [svc]: [sym]",
                "{Again|Once more} [sym], {the neighbours have it too|same as in [month]}",
                "[svc] {is down|went dead} {since [since]|this {morning|evening}}",
                "{Until|Up to} [since] all was well, now [sym]",
                "I tried [svc] {in two rooms|with two devices} and {nothing helps|it is no use}: [sym]",
            ),
        ),
    ),
    "login": (
        (
            "reset_password",
            (
                "I {cannot|can't} {get into|log in to|sign in to} [place], {wrong password, it says|no code comes}",
                "[place] {does not know me any more|throws me out} after I {changed my mail|mistyped three times}",
                "My {old password|PIN} for [place] {is forgotten|does not come to mind|got lost with my notebook}",
                "{Locked out|I am locked out} of [place] {since [since]|after the update}",
                "[place] asks for a password {I never set|that I no longer have}",
                "The link to choose a new password for [place] {is expired|leads to an empty page}",
                "{Someone|My son} changed the {code|PIN} of [place] and {nobody knows it|I am outside}",
                "[place] wants an answer to a {secret question|riddle} I chose {years ago|in [month]}",
            ),
        ),
    ),
    "delivery": (
        (
            "track_parcel",
            (
                "The [dev] {I ordered|you promised} {has not come|is not here} {after {8|10|12} days|since [since]}",
                "{Waiting|I have been waiting} for the [dev] since [since], {no message|no parcel} so far",
                "The {courier|post} says my [dev] is {on its way|in the depot} {for a week|since [since]}",
                "Where is the {parcel|package} with my [dev]",
                "{Two|Three} {times|days} I stayed at home for the [dev], {no van|nobody} came",
                "The [dev] {should|was to} be here {by [since]|long ago}",
                "Your mail says the [dev] was handed over, {but no one here got it|our porch is empty}",
            ),
        ),
        (
            "replace_device",
            (
                "The parcel came, but {in it was a phone case instead of|not with} the [dev] {I ordered|we chose}",
                "The [dev] {arrived|was delivered} {crushed|in a wet, torn box|with a broken corner}",
                "You sent {the wrong model of|somebody else's order instead of} the [dev]",
                "The box that came today {was empty, no [dev] in it|held no [dev]}",
                "{In the parcel|With the post} came a [dev] with {a wrong name|scratches all over}",
                "I unpacked the [dev] and {the plug is a foreign one|half of it is missing}",
            ),
        ),
    ),
    "cancellation": (
        (
            "close_account",
            (
                "I {want to|would like to|hereby} {cancel|end|terminate} [svc] {in [month]|when the term ends}",
                "We {move|are moving} {abroad|to a place you do not serve} and {no longer need|have to give up} [svc]",
                "I {found|signed with} another provider, so [svc] should {stop|end}",
                "Please do not renew [svc] {in [month]|after this term}",
                "I am {leaving|done with you}, take me off [svc]",
                "{Here is|This is} my notice for [svc], {effective|valid} from [month]",
                "[svc] {was nice|served us well}, but {it is over|I shall not go on with it}",
                "{I give up|We give up} [svc] {for good|this [month]}",
                "My {mother|uncle} has {died|gone into care}, {nobody uses|we do not need} [svc] any more",
            ),
        ),
    ),
    "hardware": (
        (
            "replace_device",
            (
                "The [gear] {is dead|does not turn on|gives no sign of life} {since [since]|after the storm}",
                "{Smoke|A burnt smell} came out of the [gear], {I pulled the plug|it is unplugged now}",
                "The [gear] {restarts|switches itself off} every {ten|five} minutes, {reset or not|whatever I do}",
                "My {dog chewed|son dropped} the [gear], {now it is in two parts|it does nothing now}",
                "The [gear] gets {so hot|far too hot} and then {stops|turns off}",
                "A button of the [gear] is {stuck|broken off}",
                "The [gear] {hums and clicks|rattles} and {shows no light|then goes dark}",
                "{Water|Coffee} ran into the [gear], {since then it is silent|it will not start}",
            ),
        ),
        (
            "send_technician",
            (
                "The new [gear] lies here and {I have no idea how to connect it|nobody can put it up}",
                "I {cannot|can't} {mount|install|wire up} the [gear] {myself|with my bad back}",
                "The [gear] must move to {the first floor|another room} and {a cable must be laid|that needs drilling}",
                "The socket for the [gear] hangs out of the wall",
                "{Who puts up|Who connects} the [gear], {I am 84|I cannot climb a ladder}",
            ),
        ),
    ),
    "upgrade": (
        (
            "change_plan",
            (
                "I would like [more], {from [month] on|from next month}",
                "Can I {switch to|move to|get} [more]",
                "We {need|are thinking of} [more], {the family has grown|what we have is too small}",
                "Your {leaflet|website} {offers|shows} [more], {that is what I want|I want it too}",
                "[svc] is {too small|not enough} for us now, we want [more]",
                "{My colleague|My neighbour} has [more], {I want that too|sign me up for it}",
                "{What does it take|How soon can you move me} to {have|get} [more]",
                "{Swap|Exchange} [svc] for [more], {I pay the difference|the price is fine}",
            ),
        ),
    ),
}

ASKS: dict[str, tuple[str, ...]] = {
    "refund": (
        "{Please|Kindly} {pay|send|give} {the money|it|the amount} back",
        "I want {my money|that sum} back",
        "I expect to see {the amount|the money} on my account again",
        "{Reverse|Undo} {it|the payment}, {please|will you}",
        "How {soon|fast} do I have {it|the sum} in hand again",
        "{Credit it|Put it back} to {my card|my account}, {please|thank you}",
        "That money {belongs to me|is mine}",
    ),
    "explain_bill": (
        "{Please|Could you} {explain|break down} {the figures|the amount}",
        "{Can somebody|Please} tell me what I {pay|am paying} for here",
        "A line by line list would help me",
        "{Show me|Write me} how {it|the sum} comes about",
        "I do not {claim it is wrong|want money back}, I only want to {understand it|know how it is made up}",
    ),
    "send_technician": (
        "{Please|Can you} send {someone|somebody|an engineer} {round|out|to the flat}",
        "Somebody {has to|must} come {and look|to the house}",
        "When can {your engineer|a technician} be here",
        "{Have someone|Let someone} {look at it|mend it} {on site|in our flat}",
        "I am at home {on Tuesday|all week|after four}, {just ring the bell|come by}",
    ),
    "reset_password": (
        "{Please|Can you} send me a {new|fresh} {link|password}",
        "How do I get {in|access} again",
        "I need a new {password|PIN|way in}",
        "{Open it|Let me in} again",
        "{Please|Could you} unlock it",
    ),
    "track_parcel": (
        "{Please|Can you} {find out|check} where it is",
        "Which day will it {come|be here}",
        "{Follow it up|Ask the courier}, will you",
        "Is there a number to follow it",
        "{Did it ever leave|Has it left} your store",
    ),
    "replace_device": (
        "{Please|Can you} send {a new one|another one|one that works}",
        "I need {a working one|a new one|one in good order}",
        "{Please|Kindly} swap it",
        "When do I get {the right one|an intact one}",
        "{Put|Get} {a good one|another} in the post",
    ),
    "close_account": (
        "{Please|Kindly} {confirm the end|close everything|delete my customer account}",
        "Close it {for good|down}, please",
        "{Take me out|Strike me} of your {books|lists}",
        "I {want|expect} {a written end date|the confirmation in writing}",
        "No offers, no talks, just {end it|close it}",
    ),
    "change_plan": (
        "{Please|Can you} {switch me over|change the contract|put it on my plan}",
        "I agree to the higher price",
        "{Set it up|Activate it}, {I sign whatever it takes|you have my yes}",
        "{Please|Kindly} book it",
        "Make the change {please|and send me the papers}",
    ),
    "call_back": (
        "{Please|Can you} {call|ring|phone} me {back|after five|in the morning}",
        "I {want|prefer} to {talk|speak with a human} {on the phone|by phone}",
        "{Please|Kindly} {have somebody ring me|give me a call} before you do anything",
        "I do not want mails, {phone me|ring me up}",
        "{When can|Can} somebody {ring|call} me about it",
        "{Pick up the phone|Give me a ring}, {I explain the rest|mails lead nowhere}",
        "I {expect|am waiting for} {your call|a ring from you}",
        "{It is too long to write|I am no good at writing}, let us speak",
    ),
}
# What may be asked for instead of what follows from the problem.
INSTEAD = {
    "billing": ("call_back",),
    "outage": ("call_back", "refund"),
    "login": ("call_back",),
    "delivery": ("call_back", "refund"),
    "cancellation": ("call_back", "refund"),
    "hardware": ("call_back", "refund", "send_technician"),
    "upgrade": ("call_back",),
}
INSTEAD_OF_MENDING = {
    "outage": (
        "{Take|Please take} {these|the lost} days off my bill",
        "I {pay|paid} for it and got nothing, I want {that money|the days} back",
    ),
    "delivery": ("I {do not want it any more|bought one elsewhere}, {give me|I want} my money back",),
    "cancellation": (
        "I paid {the whole year|[month] and [month]} ahead, {send back the rest|that part must be repaid}",
    ),
    "hardware": ("I {returned it|sent it in} already and {want|expect} the {price|money} back",),
}

PRIORITY_PHRASES: dict[str, tuple[str, ...]] = {
    "high": (
        "{This is urgent|It is really urgent|URGENT}",
        "I work from home and {lose a day's pay|cannot earn a penny} like this",
        "{My exam|The job interview|My talk} is {tomorrow|tonight|in three hours}",
        "My {father's|mother's} {alarm button|heart monitor} {depends on|hangs on} it",
        "{It has to|This must} be {solved|settled} {today|by tonight}",
        "Our shop {cannot take cards|has to stay shut} {until then|because of this}",
        "We {fly|leave} {tomorrow at six|in two days}, then it is too late",
        "My rent {bounces|will bounce} tomorrow because of this",
        "I {usually|normally} say take your time, {not today|but not this time}",
        "{Forty|Twelve} patients wait for {their results|our reply} meanwhile",
        "Every hour {costs us|is costing us} {customers|money}",
        "{I need help at once|Drop everything else please|As fast as you can, please}",
        "The {deadline|court date|tax date} is {Friday|the day after tomorrow}",
        "{I am alone with a newborn|My wife is ill} and {this cannot wait|we depend on it}",
        "{Next week|Next month} is {too late|no good}, {it must be sooner|I need it now}",
        "{No more waiting|Do not let me wait}, {there is no slack left|the wedding is on Saturday}",
        "{The bank|My landlord} {throws me out|gives me till noon}",
        "Without it {I miss the surgery slot|the whole office stands still|the auction is lost}",
    ),
    "low": (
        "{No rush|There is no hurry|No hurry at all}",
        "Whenever you {have a quiet minute|get round to it}",
        "It can {wait|easily wait} {till next month|a few weeks}",
        "{This is not urgent|I would not call it urgent|Nothing urgent}",
        "{Only a small thing|It is a trifle}, {really|honestly}",
        "I am {away until [month]|on holiday for three weeks} anyway",
        "{Just curious|I only ask out of interest}",
        "Deal with the {real emergencies|urgent cases} first",
        "{Next week|Next month} is {soon enough|early enough} for me",
        "{Take your time|Take all the time you need}",
        "It does not {bother|trouble} me {much|a lot} yet",
        "{It need not be|You do not have to solve it} {today|tomorrow|this week}",
        "Put it {at the bottom of|last on} your {pile|list}",
        "{No deadline|Nothing hangs on it}, I {can live with it|have a spare} for now",
    ),
    "normal": (
        "{I am|We are} {quite annoyed|rather angry|disappointed}",
        "This is {the third time I write|ridiculous|not what I expect}",
        "{Thanks for|I am grateful for} your help",
        "Let me know {what you need from me|how it goes on}",
        "I have been {with you|a customer} for {six|nine|eleven} years",
        "{I hope|We hope} you can {help|sort it out}",
        "{My wife says|A friend says} you are the right people for this",
        "{The urgent case|My emergency} of [month] is {solved|closed}, {thank you|this is a new one}",
        "Your {team|colleague} took {much time|no time at all} in [month]",
        "{Nothing else today|That is all}, {have a good day|bye}",
    ),
}

# Things beside the point: another product that is fine, a trouble that is not meant, a wish that nobody has.
BESIDE = (
    "[svc] {works|runs} {fine|without trouble|as ever}",
    "{By the way|Besides}, [svc] is {all right|not affected|in order}",
    "The [gear] is {new and works|fine|not the trouble}",
    "It has nothing to do with {the [gear]|[svc]}",
    "{Unlike|Other than} with [svc], {this time|here} I need you",
)
NOT_MEANT = {
    "billing": (
        "The {bill|invoice} {is correct|was right}, by the way",
        "It is not about the {price|invoice|money}",
        "The {amount|payment} {taken|charged} {last month|in [month]} was {right|in order}",
    ),
    "outage": (
        "Everything {runs|works} otherwise",
        "It is no outage, {your status page is green|the service itself runs}",
        "There was no signal in [month], that is long mended",
    ),
    "login": (
        "My password works, {that is not it|I tried}",
        "I can {log in|sign in} {fine|without trouble}",
        "The new password you sent in [month] is good",
    ),
    "delivery": (
        "The {parcel|package} {came last week|arrived on time}, {thanks|that was quick}",
        "The things I ordered in [month] {have come|are here}",
    ),
    "cancellation": (
        "I do not want to {cancel|leave|end the contract}",
        "No, I am not {cancelling|going to another provider}",
        "I took back my notice in [month]",
    ),
    "hardware": (
        "{I already swapped the cable|The cables are new}",
        "Nothing is {broken|burnt} here, {all lights are on|no device has failed}",
        "The [gear] you replaced in [month] is good",
    ),
    "upgrade": (
        "I do not {want|need} a {bigger|faster} plan, {please|thanks}",
        "Spare me the {upgrade offers|talk about [more]}",
        "I got [more] in [month], that went well",
    ),
}
NOT_ASKED = {
    "refund": ("I do not want {my money|anything} back", "Keep the {money|amount}, that is not the point"),
    "explain_bill": ("You need not explain the {bill|figures}", "No list of figures, please"),
    "send_technician": (
        "{Nobody|No engineer} has to come {round|to the house}",
        "Please do not send {anyone|a technician}",
    ),
    "reset_password": ("I do not need a new {password|link}",),
    "track_parcel": ("{I am not waiting for any parcel|No parcel is on its way}",),
    "replace_device": ("{I need no|Do not send a} new {device|one}", "Do not swap {anything|the device}"),
    "close_account": ("Do not close {my account|anything}", "I {stay|will stay} with you"),
    "change_plan": ("Leave my plan as it is", "Do not {change|switch} {the contract|my plan}"),
    "call_back": (
        "{No need to|Please do not} {phone|call|ring} me, {a mail will do|write to me}",
        "I cannot {talk on the phone|take calls} at work, a mail is {better|enough}",
        "I {called|rang} you {twice|on Monday}, {in vain|nobody picked up}, so now {by mail|I write}",
    ),
}

OPENINGS = (
    "{Hi|Hello|Hey}",
    "{Hi|Hello} {team|there|all}",
    "Good {morning|afternoon|evening}",
    "Dear {support|sirs|customer service}",
    "{Hi|Hello}, {this is|it's} <person>",
    "<person> {here|speaking}",
    "My name is <person>",
    "{I am|I'm} <person>, {customer|contract} number <number>",
    "To whom it may concern",
)
CLOSINGS = (
    "{Thanks|Thank you|Cheers}",
    "{Thanks|Best|Regards}, <first>",
    "{Kind|Best} regards, <person>",
    "<person>",
    "Yours, <person>",
    "{Many thanks|Thanks in advance}",
)
PERSONAL = (
    "You {can reach me|reach me} {at|on|under} <phone>",
    "{My number is|Phone:|tel.} <phone>",
    "{Mail me at|Write to|My e-mail is} <email>",
    "{It is registered|The account runs} under <email>",
    "I live at <address>",
    "{The address is|My address:} <address>",
    "{It concerns|This is about} the flat at <address>",
    "{My IBAN is|Account:|IBAN} <iban>",
    "{I pay|I always pay} from <iban>",
    "{The card is|My card is|It was card} <card>",
    "{Ask for|Talk to} my {husband|neighbour|colleague} <person>",
    "{The contract|It} is in the name of <person>",
    "{Mr|Mrs} <last> {at your shop|on the hotline} {promised to help|could not help}",
    "My IP is <ip>",
)

GERMAN_PROBLEMS: dict[str, tuple[tuple[str, str], ...]] = {
    "billing": (
        ("refund", "{Sie haben|Es wurden} [money] {doppelt|zweimal} für [de] abgebucht, bitte {erstatten|zurück}"),
        ("explain_bill", "Ich verstehe die {Rechnung|Abrechnung} für [de] nicht, {plötzlich|diesmal} [money]"),
    ),
    "outage": (
        ("send_technician", "{Seit gestern|Seit Montag} geht über [de] gar nichts mehr, {trotz|auch nach} Neustart"),
    ),
    "login": (
        (
            "reset_password",
            "Ich komme für [de] nicht ins {Kundenkonto|Portal}, mein Passwort {gilt nicht mehr|ist weg}",
        ),
    ),
    "delivery": (
        (
            "track_parcel",
            "Das {bestellte|zugesagte} Gerät für [de] ist nach {acht|zehn} Tagen nicht da, wo {ist|bleibt} es",
        ),
    ),
    "cancellation": (("close_account", "Hiermit kündige ich [de] {zum nächstmöglichen Termin|zum Monatsende}"),),
    "hardware": (("replace_device", "Das Gerät für [de] ist {kaputt|defekt} und {geht nicht mehr an|bleibt dunkel}"),),
    "upgrade": (
        ("change_plan", "Ich möchte für [de] {gern|bitte} {auf den größeren Tarif wechseln|mehr Leistung buchen}"),
    ),
}
GERMAN_WORDS = {
    "fibre": "den {Glasfaseranschluss|Internetanschluss}",
    "mobile": "den {Handyvertrag|Mobilfunkvertrag}",
    "tv": "den {Fernsehvertrag|Fernsehanschluss}",
    "cloud": "den {Cloudspeicher|Onlinespeicher}",
}
GERMAN_PRIORITY = {
    "high": "Es ist {sehr dringend|eilig}, ich arbeite von zu Hause",
    "low": "Es {eilt nicht|hat Zeit bis nächsten Monat}",
    "normal": "{Vielen Dank für Ihre Hilfe|Ich bitte um kurze Rückmeldung}",
}
GERMAN_ENDS = (
    "Mit freundlichen Grüßen, <person>",
    "{Meine Nummer ist|Sie erreichen mich unter} <phone>",
    "Meine IBAN lautet <iban>",
    "{Meine Anschrift ist|Ich wohne hier:} <address>",
)

MONTHS = ("January", "March", "April", "June", "August", "October", "December")
SINCE = ("Monday", "Thursday", "yesterday", "last week", "the weekend", "this morning", "the storm")
SHORT = {
    "please": "pls",
    "you": "u",
    "your": "ur",
    "account": "acct",
    "thanks": "thx",
    "because": "bc",
    "number": "no",
    "month": "mth",
}
# The numbers that card schemes and payment providers publish for testing (valid by Luhn, nobody's).
CARDS = (
    "4111111111111111",
    "4242424242424242",
    "4012888888881881",
    "4000056655665556",
    "5555555555554444",
    "5105105105105100",
    "6011111111111117",
    "378282246310005",
)
STREETS = ("Road", "Street", "Avenue", "Lane", "Drive", "Close", "Way", "St", "Rd")
# Numbers that Ofcom and the NANP keep free for films and books; every n becomes a digit.
PHONES = {
    "en_GB": (
        "020 7946 0nnn",
        "+44 20 7946 0nnn",
        "0113 496 0nnn",
        "0161 4960nnn",
        "+44 131 496 0nnn",
        "(0117) 496 0nnn",
    ),
    "en_US": ("(212) 555-01nn", "+1 415-555-01nn", "312-555-01nn", "+1 (617) 555 01nn"),
    "de_DE": ("030 23125 nnn", "+49 69 90009 nnn", "(089) 99998 nnn", "0221 4710 nnn"),
}


@dataclass(frozen=True)
class Ticket:
    """One ticket with the labels that its text carries."""

    text: str
    category: str
    priority: str
    product: str
    action: str
    customer: str


@dataclass(frozen=True)
class Person:
    """A customer with everything personal that a ticket of theirs may hold."""

    customer: str
    values: dict[str, str]


def people(rng: random.Random, locale: str, count: int, first_number: int) -> list[Person]:
    """Customers of one country, always the same for the same generator state."""
    fake = Faker(locale)
    fake.seed_instance(rng.getrandbits(32))
    return [Person(f"C-{first_number + i:05d}", _personal_values(rng, fake, locale)) for i in range(count)]


def _personal_values(rng: random.Random, fake: Faker, locale: str) -> dict[str, str]:
    first, last = fake.first_name(), fake.last_name()
    plain = re.sub(r"[^a-z.]", "", f"{first}.{last}".lower())
    iban, card = fake.iban(), rng.choice(CARDS)
    mail = f"{plain}{rng.choice(['', '', str(rng.randrange(60, 99))])}@example.{rng.choice(['com', 'org', 'net'])}"
    return {
        "person": f"{first} {last}",
        "first": first,
        "last": last,
        "number": str(rng.randrange(100_000, 999_999)),
        "email": mail,
        "phone": re.sub("n", lambda _: str(rng.randrange(10)), rng.choice(PHONES[locale])),
        "address": _address(rng, fake, locale),
        "iban": rng.choice([iban, " ".join(iban[i : i + 4] for i in range(0, len(iban), 4))]),
        "card": rng.choice([card, " ".join(card[i : i + 4] for i in range(0, len(card), 4))]),
        "ip": f"203.0.113.{rng.randrange(1, 255)}",
    }


def _address(rng: random.Random, fake: Faker, locale: str) -> str:
    """An address as people of that country write it; some streets have names that end like no other."""
    street = fake.street_address().replace("\n", ", ")
    if locale == "de_DE":
        return f"{street}, {fake.postcode()} {fake.city()}"
    if rng.random() < 0.7:  # Faker likes streets called Mills or Gateway; most real ones end in one of these
        street = f"{rng.randrange(1, 240)} {fake.last_name()} {rng.choice(STREETS)}"
    if locale == "en_US":
        return f"{street}, {fake.city()}, {fake.state_abbr()} {fake.postcode()}"
    return f"{street}, {fake.city()} {fake.postcode()}"


def spell_out(rng: random.Random, phrase: str, words: dict[str, tuple[str, ...]]) -> str:
    """The phrase with every choice made and every name replaced; personal values still stand as `<name>`."""
    while True:
        chosen = re.sub(r"\{([^{}]*)\}", lambda m: rng.choice(m[1].split("|")), phrase)
        chosen = re.sub(r"\[(\w+)\]", lambda m: rng.choice(words[m[1]]), chosen)
        if chosen == phrase:
            return phrase
        phrase = chosen


def amount(rng: random.Random) -> str:
    """A sum of money, as people write it."""
    euros, cents = rng.randrange(4, 180), rng.choice(["00", "50", "90", "95", "99"])
    return rng.choice([f"£{euros}.{cents}", f"£{euros}", f"{euros}.{cents} pounds", f"{euros} quid", f"{euros} GBP"])


def english_ticket(rng: random.Random, person: Person) -> Ticket:
    """A ticket of at most 66 words with labels that follow from its text (see the top of this file)."""
    category, product, priority = rng.choice(list(PROBLEMS)), rng.choice(PRODUCTS), rng.choice(PRIORITIES)
    default, phrases = rng.choice(PROBLEMS[category])
    action = default
    to_be_put_up = (category, action) == ("hardware", "send_technician")
    if to_be_put_up and product == "mobile":  # nobody drills a hole for a handset
        product = "fibre"
    words = {**WORDS[product], "month": MONTHS, "since": SINCE, "money": (amount(rng),)}
    problem = rng.choice(phrases)
    ask = rng.choice(ASKS[action]) if rng.random() < 0.7 else None
    if rng.random() < 0.38:
        action = "call_back" if to_be_put_up else rng.choice(INSTEAD[category])
        own = INSTEAD_OF_MENDING.get(category, ()) if action == "refund" else ()
        ask = rng.choice(own or ASKS[action])
    beside = _beside(rng, category, product, (action, default), words)
    parts = [problem, ask, _priority_phrase(rng, priority), beside]
    core = [part for part in parts if part]
    if rng.random() < 0.7:  # most people start with what happened
        core = [core[0], *rng.sample(core[1:], len(core) - 1)]
    else:
        rng.shuffle(core)
    if rng.random() < 0.55:
        core.insert(rng.randrange(len(core) + 1), rng.choice(PERSONAL))
    if rng.random() < 0.6:
        core.insert(0, rng.choice(OPENINGS))
    if rng.random() < 0.4:
        core.append(rng.choice(CLOSINGS))
    text = _as_written(rng, [spell_out(rng, part, words) for part in core], person)
    if len(text.split()) > 66:
        return english_ticket(rng, person)
    return Ticket(text, category, priority, product, action, person.customer)


def _priority_phrase(rng: random.Random, priority: str) -> str | None:
    if priority == "normal" and rng.random() < 0.5:
        return None
    return rng.choice(PRIORITY_PHRASES[priority])


def _beside(
    rng: random.Random, category: str, product: str, wishes: tuple[str, str], words: dict[str, tuple[str, ...]]
) -> str | None:
    """Something beside the point, in more than half of the tickets."""
    draw = rng.random()
    if draw < 0.22:
        other = WORDS[rng.choice([p for p in PRODUCTS if p != product])]
        return spell_out(rng, rng.choice(BESIDE), {**words, **other})
    if draw < 0.42:
        return rng.choice(NOT_MEANT[rng.choice([c for c in NOT_MEANT if c != category])])
    if draw < 0.62:
        # who wants a parcel, or leaves, may not say the opposite beside it
        absurd = {"delivery": ("track_parcel", "replace_device"), "cancellation": ("close_account",)}.get(category, ())
        return rng.choice(NOT_ASKED[rng.choice([a for a in NOT_ASKED if a not in (*wishes, *absurd)])])
    return None


def _as_written(rng: random.Random, sentences: list[str], person: Person) -> str:
    """The sentences as this person types: joined, hurried, in small or capital letters, with slips."""
    stop = rng.choices([". ", "! ", "... ", ".\n", ", "], weights=[70, 6, 6, 10, 8])[0]
    slips = rng.choices([0.0, 0.03, 0.08], weights=[55, 30, 15])[0]
    short, case = rng.random() < 0.15, rng.choices(["as is", "small", "capitals"], weights=[84, 13, 3])[0]
    written = ""
    for sentence in sentences:
        typed = "".join(
            part if part.startswith("<") else _typed(rng, part, slips, short, case)
            for part in re.split(r"(<\w+>)", sentence)
        )
        if case == "as is" and not written.endswith(", "):
            typed = typed[:1].upper() + typed[1:]
        question = re.match(
            r"(what|how|where|when|which|who|why|can|could|did|has it|is there)\b", sentence, re.IGNORECASE
        )
        written += typed + (stop.replace(".", "?", 1) if question and stop.startswith(". ") else stop)
    written = written.rstrip(", \n") if rng.random() < 0.8 else written.rstrip(".,! \n")
    return re.sub(r"<(\w+)>", lambda m: person.values[m[1]], written)


def _typed(rng: random.Random, text: str, slips: float, short: bool, case: str) -> str:
    tokens = re.split(r"(\W+)", text)
    if short:
        tokens = [SHORT.get(token.lower(), token) for token in tokens]
    tokens = [_slip(rng, t) if len(t) > 3 and t.isalpha() and rng.random() < slips else t for t in tokens]
    joined = "".join(tokens)
    return {"small": joined.lower(), "capitals": joined.upper()}.get(case, joined)


def _slip(rng: random.Random, word: str) -> str:
    """The word with two letters exchanged, one lost or one doubled; the first letter stays."""
    i = rng.randrange(1, len(word) - 1)
    return rng.choice(
        [word[:i] + word[i + 1] + word[i] + word[i + 2 :], word[:i] + word[i + 1 :], word[: i + 1] + word[i:]]
    )


def german_ticket(rng: random.Random, person: Person) -> Ticket:
    """A short German ticket; the demo keeps English alone, so these are there to be found and dropped."""
    category, product, priority = rng.choice(list(GERMAN_PROBLEMS)), rng.choice(PRODUCTS), rng.choice(PRIORITIES)
    action, problem = rng.choice(GERMAN_PROBLEMS[category])
    words: dict[str, tuple[str, ...]] = {
        "de": (GERMAN_WORDS[product],),
        "money": (f"{rng.randrange(9, 90)},{rng.randrange(10, 99)} Euro",),
    }
    parts = [
        "{Guten Tag|Hallo|Sehr geehrte Damen und Herren}",
        problem,
        GERMAN_PRIORITY[priority],
        rng.choice(GERMAN_ENDS),
    ]
    text = ". ".join(spell_out(rng, part, words) for part in parts)
    text = re.sub(r"<(\w+)>", lambda m: person.values[m[1]], text)
    return Ticket(text, category, priority, product, action, person.customer)


def near_duplicate(rng: random.Random, ticket: Ticket) -> Ticket:
    """The same request, sent again a little changed."""
    changed = rng.choice(
        [
            ticket.text.lower(),
            ticket.text.replace(". ", "! ").replace(", ", " "),
            f"{ticket.text} Second mail.",
            f"{ticket.text}\n\nSent from my phone",
            f"Re: {ticket.text}",
        ]
    )
    return replace(ticket, text=changed)


def contradiction(rng: random.Random, ticket: Ticket) -> Ticket:
    """The same text with another answer, as two agents would give it."""
    if rng.random() < 0.5:
        return replace(ticket, priority=rng.choice([p for p in ("low", "normal", "high") if p != ticket.priority]))
    return replace(ticket, category=rng.choice([c for c in PROBLEMS if c != ticket.category]))


def as_line(number: int, ticket: Ticket) -> str:
    """The ticket as one line of JSON."""
    values = {"id": f"T-{number:05d}", "text": ticket.text, "category": ticket.category, "priority": ticket.priority}
    rest = {"product": ticket.product, "action": ticket.action, "customer": ticket.customer}
    return json.dumps({**values, **rest}, ensure_ascii=False)


def truncated(rng: random.Random, line: str) -> str:
    """A row that lost its last fields on the way, or holds null in their place."""
    values = json.loads(line)
    kept = rng.randrange(1, 5)
    shorter = dict(list(values.items())[:kept])
    return json.dumps(shorter if rng.random() < 0.6 else {**dict.fromkeys(values), **shorter}, ensure_ascii=False)


def broken(rng: random.Random, line: str) -> str:
    """A line that is no JSON: cut off, a quote or a comma lost, or written by a program that prints Python."""
    return rng.choice(
        [
            line[: rng.randrange(20, len(line) - 5)],
            line.replace('", "', '" "', 1),
            line.replace('"text": "', '"text": ', 1),
            str(json.loads(line)),
        ]
    )


def make_lines() -> list[bytes]:
    """All lines of the file, without their line ends."""
    rng = random.Random(SEED)
    customers = people(rng, "en_GB", 430, 1000) + people(rng, "en_US", 150, 2000)
    tickets: list[Ticket] = []
    seen: set[str] = set()
    while len(tickets) < ENGLISH:
        ticket = english_ticket(rng, rng.choice(customers))
        if ticket.text.casefold() not in seen:
            seen.add(ticket.text.casefold())
            tickets.append(ticket)
    doubled = rng.sample(tickets, DUPLICATES + NEAR_DUPLICATES + CONTRADICTIONS)
    copies = doubled[:DUPLICATES]
    copies += [near_duplicate(rng, t) for t in doubled[DUPLICATES : DUPLICATES + NEAR_DUPLICATES]]
    copies += [contradiction(rng, t) for t in doubled[DUPLICATES + NEAR_DUPLICATES :]]
    german = [german_ticket(rng, rng.choice(people(rng, "de_DE", 1, 3000 + i))) for i in range(GERMAN)]
    empty = [
        replace(english_ticket(rng, rng.choice(customers)), text=rng.choice(["", " ", "\n"])) for _ in range(EMPTY)
    ]
    whole = tickets + copies + german + empty
    spoilt = [english_ticket(rng, rng.choice(customers)) for _ in range(TRUNCATED + BROKEN + MISENCODED)]
    order = list(range(len(whole) + len(spoilt)))
    rng.shuffle(order)
    return [_line(rng, number, index, whole, spoilt) for number, index in enumerate(order, start=1)]


def _line(rng: random.Random, number: int, index: int, whole: list[Ticket], spoilt: list[Ticket]) -> bytes:
    """The line of one ticket; those of `spoilt` are truncated, then broken, then in Latin-1."""
    if index < len(whole):
        return as_line(number, whole[index]).encode()
    rank = index - len(whole)
    ticket = spoilt[rank]
    if rank < TRUNCATED:
        return truncated(rng, as_line(number, ticket)).encode()
    if rank < TRUNCATED + BROKEN:
        return broken(rng, as_line(number, ticket)).encode()
    return as_line(number, replace(ticket, text=f"{ticket.text} José")).encode("latin-1")


if __name__ == "__main__":
    sys.stdout.buffer.write(b"".join(line + b"\n" for line in make_lines()))
