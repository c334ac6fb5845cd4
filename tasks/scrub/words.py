"""Word lists that recognisers look up and that made-up texts are filled from. Never a name of a real person."""

from __future__ import annotations

DEMONYMS = tuple(
    """Afghan Albanian Algerian American Andorran Angolan Argentine Argentinian Armenian Australian Austrian Azerbaijani Bahamian Bahraini
    Bangladeshi Barbadian Basque Belarusian Belgian Belizean Beninese Bhutanese Bolivian Bosnian Botswanan Brazilian British Briton Bruneian Bulgarian
    Burkinabe Burmese Burundian Cambodian Cameroonian Canadian Catalan Chadian Chilean Chinese Colombian Congolese Corsican Croat Croatian Cuban Cypriot Czech
    Dane Danish Djiboutian Dominican Dutch Ecuadorian Egyptian Emirati English Eritrean Estonian Ethiopian Fijian Filipino Filipina Finn Finnish Flemish French
    Frenchman Gabonese Gambian Georgian German Ghanaian Greek Greenlandic Grenadian Guatemalan Guinean Guyanese Haitian Honduran Hungarian Icelandic Icelander Indian
    Indonesian Iranian Iraqi Irish Irishman Israeli Italian Ivorian Jamaican Japanese Jordanian Kazakh Kenyan Korean Kosovar Kurdish Kuwaiti Kyrgyz Lao
    Laotian Latvian Lebanese Liberian Libyan Liechtensteiner Lithuanian Luxembourger Luxembourgish Macedonian Malagasy Malawian Malaysian Maldivian Malian Maltese Maori
    Mauritanian Mauritian Mexican Moldovan Monegasque Mongolian Montenegrin Moroccan Mozambican Namibian Nepalese Nepali Nicaraguan Nigerian Nigerien Norwegian Omani
    Pakistani Palestinian Panamanian Paraguayan Persian Peruvian Pole Portuguese Qatari Romanian Russian Rwandan Salvadoran Samoan Saudi Scot Scottish
    Scotsman Senegalese Serb Serbian Sicilian Singaporean Slovak Slovakian Slovene Slovenian Somali Spaniard Spanish Sudanese Surinamese Swede Swedish
    Swiss Syrian Taiwanese Tajik Tanzanian Thai Tibetan Togolese Tongan Trinidadian Tunisian Turk Turkish Turkmen Ugandan Ukrainian Uruguayan Uzbek Venezuelan
    Vietnamese Welsh Welshman Yemeni Zambian Zimbabwean European African Asian Scandinavian Americans Germans Italians Russians Canadians Australians Indians Mexicans
    Brazilians Swedes Danes Norwegians Poles Polish Turks Greeks Nigerians Kenyans Ukrainians Koreans Egyptians Europeans Africans Asians Hispanic Latino Latina
    Caucasian Roma Bavarian Cornish""".split()
) + ("South African", "New Zealander", "Sri Lankan", "Costa Rican", "Puerto Rican", "Saudi Arabian", "North Korean", "South Korean", "African American", "Sierra Leonean")  # fmt: skip

RELIGIONS = tuple(
    """Christian Christianity Catholic Catholicism Protestant Orthodox Anglican Methodist Baptist Lutheran Presbyterian Evangelical Pentecostal Quaker Mormon Calvinist
    Adventist Muslim Islam Islamic Sunni Shia Shiite Sufi Ahmadi Jewish Judaism Jew Hasidic Hindu Hinduism Buddhist Buddhism Zen Sikh Sikhism Jain Jainism Taoist Taoism Shinto Bahai
    Zoroastrian Pagan Wiccan Rastafarian atheist agnostic Muslims Christians Catholics Jews Hindus Buddhists Sikhs Protestants Atheist""".split()
) + ("Roman Catholic", "Greek Orthodox", "Jehovah's Witness", "Seventh-day Adventist", "Church of England")  # fmt: skip

POLITICAL = tuple(
    """Democrat Democrats Republican Republicans Labour Conservative Conservatives Tory Tories Liberal Libertarian socialist communist Marxist Socialist Communist Greens
    Democratic SPD CDU CSU AfD FDP SNP UKIP GOP anarchist nationalist centrist Zionist Peronist Trotskyist left-wing right-wing Remainer Brexiteer""".split()
) + ("Liberal Democrat", "Green Party", "Labour Party", "Republican Party", "Democratic Party", "Conservative Party", "Sinn Fein", "Plaid Cymru", "far-right", "social democrat", "Christian Democrat")  # fmt: skip

WEEKDAYS = (
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Mon",
    "Tue",
    "Wed",
    "Thu",
    "Fri",
    "Mondays",
    "Fridays",
)
MONTHS = tuple("January February March April May June July August September October November December Jan Feb Mar Apr Jun Jul Aug Sept Oct Nov Dec".split())  # fmt: skip

COUNTRIES = tuple(
    """Afghanistan Albania Algeria Andorra Angola Argentina Armenia Australia Austria Azerbaijan Bahamas Bahrain Bangladesh Barbados Belarus Belgium Belize Benin Bhutan
    Bolivia Botswana Brazil Brunei Bulgaria Burundi Cambodia Cameroon Canada Chad Chile China Colombia Comoros Congo Croatia Cuba Cyprus Czechia Denmark Djibouti Dominica
    Ecuador Egypt Eritrea Estonia Eswatini Ethiopia Fiji Finland France Gabon Gambia Georgia Germany Ghana Greece Grenada Guatemala Guinea Guyana Haiti Honduras Hungary Iceland India
    Indonesia Iran Iraq Ireland Israel Italy Jamaica Japan Jordan Kazakhstan Kenya Kiribati Kosovo Kuwait Kyrgyzstan Laos Latvia Lebanon Lesotho Liberia Libya Liechtenstein Lithuania
    Luxembourg Madagascar Malawi Malaysia Maldives Mali Malta Mauritania Mauritius Mexico Micronesia Moldova Monaco Mongolia Montenegro Morocco Mozambique Myanmar Namibia Nauru Nepal
    Netherlands Nicaragua Niger Nigeria Norway Oman Pakistan Palau Palestine Panama Paraguay Peru Philippines Poland Portugal Qatar Romania Russia Rwanda Samoa Senegal Serbia Seychelles
    Singapore Slovakia Slovenia Somalia Spain Sudan Suriname Sweden Switzerland Syria Taiwan Tajikistan Tanzania Thailand Togo Tonga Tunisia Turkey Turkmenistan Tuvalu Uganda Ukraine
    Uruguay Uzbekistan Vanuatu Venezuela Vietnam Yemen Zambia Zimbabwe England Scotland Wales Britain Holland USA UK U.S. US U.K. UAE Greenland Gibraltar Bermuda Guernsey""".split()
) + (
    "United States", "United Kingdom", "United States of America", "Great Britain", "Northern Ireland", "South Africa", "New Zealand", "South Korea", "North Korea",
    "Saudi Arabia", "Sri Lanka", "Costa Rica", "El Salvador", "Sierra Leone", "Burkina Faso", "Cape Verde", "Ivory Coast", "Czech Republic", "Hong Kong", "Puerto Rico",
    "Dominican Republic", "Equatorial Guinea", "Papua New Guinea", "San Marino", "Bosnia and Herzegovina", "North Macedonia", "Trinidad and Tobago", "the Netherlands",
    "United Arab Emirates", "Isle of Man", "Faroe Islands", "Vatican City", "South Sudan", "Timor-Leste", "St. Lucia", "the Philippines",
)  # fmt: skip

LEGAL_FORMS = ("Ltd", "Ltd.", "Limited", "Inc", "Inc.", "LLC", "PLC", "plc", "GmbH", "AG", "Corp", "Corp.", "LLP", "S.A.", "SA", "B.V.", "SE", "& Co. KG", "AB", "Oy", "S.p.A.", "Pty Ltd", "Group", "Holdings")  # fmt: skip
INDUSTRIES = tuple(
    """Energy Power Bank Telecom Insurance Mobile Consulting Logistics Foods Motors Pharma Systems Software Solutions Technologies Engineering Capital Partners Media Airlines
    Construction Electric Utilities Broadband Networks Finance Securities Retail Stores Foundation Hospital Clinic School Academy College Institute Laboratories Chemicals Steel Textiles Brewery
    Bakery Cafe Restaurant Hotel Hotels Travel Records Studios Publishing Press Times Gazette United FC Law Solicitors Associates Properties Estates Housing Water Gas Solar Wind Oil Mining
    Robotics Analytics Labs Security Cloud Digital Games Entertainment Pictures Theatre Museum Library Trust Fund Union Credit Savings Lending Payments Couriers Express Shipping Rail Transport""".split()
) + ("Credit Union", "Building Society", "Medical Centre", "Primary School", "High School", "Health Centre", "Law Firm", "Dental Practice", "Housing Association", "Care Home", "Investment Bank")  # fmt: skip
AUTHORITIES = (
    "City Council", "County Council", "Borough Council", "Police", "Fire Department", "University", "University Hospital", "General Hospital", "Airport", "Chamber of Commerce", "Museum",
    "Technical College", "Grammar School", "Library", "District Court", "Magistrates Court", "Tax Office", "Housing Association", "Municipal Utilities", "Savings Bank", "Water Board",
    "Rovers", "United", "City FC", "Tigers", "Times", "Herald", "Post", "Chronicle", "School District", "Public Schools", "Cathedral School",
)  # fmt: skip

PRODUCTS = (
    "Fibre 500", "SuperSaver Plus", "Green Fix 24", "Platinum Card", "Easy ISA", "SmartMeter Pro", "Unlimited Max", "FlexiLoan", "TravelCare Gold", "HomeHub 3", "Router X20", "SIM-only 30GB",
    "Standard Variable", "Economy 7", "Cashback Current Account", "Premier Saver", "Broadband Essentials", "TV Sport Bundle", "Galaxy Tab", "ThinkPad", "Windows 11", "Python", "Excel", "Boiler Cover",
    "Solar Tariff", "Night Saver", "Direct Debit", "Two-Year Fix", "Gold Plan", "Starter Pack", "iOS", "Android", "Kubernetes", "MacBook Air", "Fixed Bond", "Student Loan", "Junior ISA", "eSIM", "Wi-Fi 6",
)  # fmt: skip

COMMON_WORDS = tuple(
    """amber anchor apple arrow autumn badge balance banner barrel basket beacon bell bicycle blanket blossom bottle bridge bright bronze button cable camera candle canvas carbon castle cedar
    chalk chimney circle clever cloud clover cobalt comet copper coral cotton crystal daisy dawn delta diamond dragon eagle ember engine falcon feather fern field flame forest fountain fox garden
    ginger glacier globe golden granite gravel green hammer harbor harvest hazel honey horizon island ivory jacket jade kettle ladder lagoon lantern leaf lemon lily linen lion lunar magnet maple marble
    meadow mellow metal midnight mirror mist monsoon moon mountain nectar noble north oak oasis ocean olive onyx orange orchid otter panda paper pearl pebble pepper phoenix pine pixel planet plum
    polar prairie prism purple quartz quiet rabbit radar rain raven reef ribbon ridge river rocket rose ruby saddle saffron sail salt sand sapphire scarlet shadow silver sky slate snow solar
    spark spring spruce star stone storm summit sunrise swift table temple tiger timber topaz tower trail tulip tunnel valley velvet violet walnut water willow wind window winter wolf yellow zephyr""".split()
)
