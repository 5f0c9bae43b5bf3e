"""The verbs of the demo corpus, one per row: forms in both languages and the kinds of nouns that they take.

Each row of the table reads `english | german | subjects | object | notes`:

- english: base, `/past` when irregular (`/-` where the past looks like the present, and is therefore never used),
  then a particle ("switch on"). A preposition belongs to the object.
- german: `+` for the perfect with sein, `prefix-` when separable, infinitive, then forms that the rules do not give:
  [participle], or [du, er, participle], or [ich, du, er, participle]; `~` before a preterite preferred to the perfect.
- object: kinds of nouns, after `dat` for a German dative, or after `english>german+case` for a preposition
  ("for>auf+acc"; "at>+acc" where only English has one).
- notes: `stative` (no progressive, imperative or modal), `instant` (no progressive), `manner` (goes with "slowly"),
  `definite` (no indefinite object), `recipient` (dative beside the object, `recipient-to` where English says "to"),
  `with`, `by`, `for` (possible companions), and the
  kind of place (a key of `PLACES` in `data_prep.corpora.demo_language.meaning`), with `!` where it may not be missing.
"""

VERBS_TABLE = """
    sleep/slept | schlafen schläfst schläft geschlafen | people pet | | home
    work | arbeiten | people | | in manner with
    laugh | lachen | people | | with
    smile | lächeln | people | |
    cry | weinen | people | | in
    dance | tanzen | people | | in with
    sing/sang | singen gesungen | people | | in manner with
    swim/swam | +schwimmen geschwommen | people pet | | water with
    whistle | pfeifen gepfiffen | people | | in
    get/got up | +auf-stehen gestanden | people | |
    fall/fell asleep | +ein-schlafen schläfst schläft geschlafen | people pet | | home
    wake/woke up | +auf-wachen | people pet | | home
    come/came back | +zurück-kommen gekommen | people | | with
    go/went shopping | ein-kaufen | people | | town with
    go/went out | +aus-gehen gegangen | people | | with
    arrive | +an-kommen gekommen | transport people | |
    depart | +ab-fahren fährst fährt gefahren | transport | |
    begin/began | an-fangen fängst fängt gefangen | event | |
    end | enden | event | |
    stop | halten hältst hält gehalten | transport | | at

    go/went | +gehen gegangen | people | | goal! with
    run/ran | +rennen gerannt | people pet | | goal!
    walk | +laufen läufst läuft gelaufen | people | | goal! manner with
    drive/drove | +fahren fährst fährt gefahren | people | | goal! with
    travel | +reisen | people | | through! by with
    hike | +wandern | people | | through! with
    hurry | +eilen | people | | goal!
    come/came | +kommen gekommen | people | | source! with
    live | wohnen | people | | live! stative
    sit/sat | sitzen gesessen | people pet | | beside!
    stand/stood | stehen gestanden | container device | | surface! stative
    lie/- | liegen gelegen | reading thing clothes | | surface! stative

    place | stellen | people | container device | onto!
    lay/laid | legen | people | reading thing clothes | onto!
    carry | tragen trägst trägt getragen | people | container thing | goal manner
    push | schieben geschoben | people | furniture vehicle | goal manner
    hide/hid | verstecken | people | thing container | surface
    find/found | finden gefunden | people | thing reading clothes | surface instant
    look | suchen | people | for>+acc goods animal people |
    see/saw | sehen siehst sieht gesehen | people animal | people animal vehicle building | stative
    hear/heard | hören | people animal | people animal transport | stative
    lose/lost | verlieren verloren | people | thing clothes reading | in instant
    forget/forgot | vergessen vergisst vergisst vergessen | people | thing clothes container | in instant
    buy/bought | kaufen | people | goods vehicle furniture meal drink pet | for
    sell/sold | verkaufen | people | goods vehicle furniture meal pet building |
    need | brauchen | people | goods vehicle furniture | stative
    have/had | haben hast hat gehabt ~hatte | people | thing clothes vehicle pet device | stative
    steal/stole | stehlen stiehlst stiehlt gestohlen | people | goods vehicle pet food |
    repair | reparieren | people | device vehicle furniture fixture | with
    wash | waschen wäschst wäscht gewaschen | people | clothes crockery pet vehicle | manner
    clean | putzen | people | fixture room furniture | with
    paint | malen | people | animal people building | in
    draw/drew | zeichnen | people | animal people building | in
    break/broke | zerbrechen zerbrichst zerbricht zerbrochen | people | crockery | instant
    use | benutzen | people | device vehicle |
    check | prüfen | people | device vehicle reading |
    choose/chose | aus-wählen | people | clothes reading thing | for
    pack | ein-packen | people | clothes thing reading |
    unpack | aus-packen | people | container | in manner
    throw/threw away | weg-werfen wirfst wirft geworfen | people | clothes thing reading |
    bring/brought along | mit-bringen gebracht | people | thing reading pastry drink pet |
    try on | an-probieren | people | clothes |
    take/took off | aus-ziehen gezogen | people | clothes | in
    open | auf-machen | people | fixture container | manner
    close | zu-machen | people | fixture container | manner
    switch on | ein-schalten | people | device |
    switch off | aus-schalten | people | device |
    tidy up | auf-räumen | people | room | manner with
    rent | mieten | people | room building vehicle |
    build/built | bauen | people | building furniture vehicle | with
    eat/ate | essen isst isst gegessen | people | meal | in manner with
    drink/drank | trinken getrunken | people | drink | in manner with
    cook | kochen | people | vegetable dish | home for
    bake | backen bäckst bäckt gebacken | people | pastry | home for
    taste | probieren | people | meal drink |
    order | bestellen | people | meal drink | for
    peel | schälen | people | fruit | home manner
    read/- | lesen liest liest gelesen | people | reading press | in manner
    write/wrote | schreiben geschrieben | people | reading | in manner
    learn/learnt | lernen | people | lore | with
    understand/understood | verstehen verstanden | people | idea lore tale reading | stative definite
    know/knew | kennen gekannt | people | people idea lore tale building area | stative definite
    love | lieben | people | people pet area | stative definite
    like | mögen mag magst mag gemocht ~mochte | people | people animal meal drink building | stative definite
    hate | hassen | people | wild event area | stative definite
    visit | besuchen | people | people building area event | with
    meet/met | treffen triffst trifft getroffen | people | people | town
    greet | begrüßen | people | people |
    kiss | küssen | people | people pet |
    hug | umarmen umarmt | people | people | in
    ask | fragen | people | people | definite
    teach/taught | unterrichten unterrichtet | people | people | in
    invite | ein-laden lädst lädt geladen | people | people |
    call | an-rufen gerufen | people | people |
    pick up | ab-holen | people | people |
    get/got to know | kennen-lernen | people | people |
    photograph | fotografieren | people | people animal building vehicle |
    look | an-sehen siehst sieht gesehen | people | at>+acc people animal building goods |
    feed/fed | füttern | people | pet | manner
    catch/caught | fangen fängst fängt gefangen | people | wild |
    watch | beobachten | people | animal people transport | in
    recognise | erkennen erkannt | people | people | stative definite
    plan | planen | people | event | with
    cancel | ab-sagen | people | event | definite
    organise | organisieren | people | event | for with
    miss | verpassen | people | transport event | definite instant
    describe | beschreiben beschrieben | people | people animal building |

    help | helfen hilfst hilft geholfen | people | dat people |
    thank | danken | people | dat people | definite
    follow | +folgen | people animal | dat people animal transport |
    believe | glauben | people | dat people | stative definite
    trust | vertrauen | people | dat people | stative definite
    congratulate | gratulieren | people | dat people | definite
    answer | antworten | people | dat people | definite
    belong | gehören | goods vehicle | to>+dat people | stative definite
    listen | zu-hören | people | to>+dat people | in

    wait | warten | people | for>auf+acc people transport | in
    think/thought | denken gedacht | people | of>an+acc people event | stative definite
    talk | sprechen sprichst spricht gesprochen | people | about>über+acc people event idea tale | in
    speak/spoke | reden | people | with>mit+dat people | in
    laugh | lachen | people | at>über+acc people tale | definite
    look | auf-passen | people | after>auf+acc people pet | in definite
    dream | träumen | people | of>von+dat people animal building area | definite
    fight/fought | kämpfen | people | against>gegen+acc wild |
    play | spielen | people pet | with>mit+dat people pet | in
    take/took part | teil-nehmen nimmst nimmt genommen | people | in>an+dat event | definite
    complain | klagen | people | about>über+acc people event | definite
    write/wrote | schreiben geschrieben | people | to>an+acc people | definite

    give/gave | geben gibst gibt gegeben | people | goods meal pet | recipient
    show | zeigen | people | goods building area vehicle | recipient
    send/sent | schicken | people | reading thing clothes | recipient
    lend/lent | leihen geliehen | people | goods vehicle | recipient
    bring/brought | bringen gebracht | people | goods meal drink | recipient
    offer | an-bieten geboten | people | meal drink thing | recipient
    tell/told | erzählen | people | tale | recipient
    explain | erklären | people | idea lore | recipient-to definite
    recommend | empfehlen empfiehlst empfiehlt empfohlen | people | building reading dish | recipient-to
    return | zurück-geben gibst gibt gegeben | people | goods vehicle | recipient-to definite
"""

# Verbs that a clause follows: with "that", with "whether", or with an infinitive.
THAT_VERBS_TABLE = """
    know/knew | wissen weiß weißt weiß gewusst ~wusste
    say/said | sagen
    believe | glauben
    think/thought | denken gedacht ~dachte
    hope | hoffen
    hear/heard | hören
"""
WHETHER_VERBS_TABLE = """
    ask | fragen
    know/knew | wissen weiß weißt weiß gewusst ~wusste
"""
INFINITIVE_VERBS_TABLE = """
    try | versuchen
    forget/forgot | vergessen vergisst vergisst vergessen
    promise | versprechen versprichst verspricht versprochen
    hope | hoffen
    plan | planen
    begin/began | an-fangen fängst fängt gefangen
"""
