using static Flint.App.Nano.Vocabulary;

namespace Flint.App.Nano;

/// <summary>The tools that are offered, under changing names, and what people want of them.</summary>
internal static partial class Tools
{
    private static readonly Dictionary<string, string> Does = new()
    {
        ["calculator"] = "calculations", ["clock"] = "the time", ["lookup"] = "looking things up", ["weather"] = "the weather", ["convert"] = "converting units",
        ["reminder"] = "reminders", ["mail"] = "sending mail", ["translate"] = "translating", ["music"] = "playing music",
    };

    private static Offer MakeOffer(NanoRandom random, string kind)
    {
        (string[] names, string[] descriptions, (string[] Names, string Type)[] parameters) = kind switch
        {
            "calculator" => (new[] { "calculator", "calculate", "math.calculate", "calc", "math.eval" },
                new[] { "Calculates an expression.", "Does arithmetic.", "Gives the value of a formula." }, new[] { (new[] { "expression", "formula", "input" }, "string") }),
            "clock" => (["clock", "time.now", "get_time", "world_clock", "clock.read"],
                ["Tells the time in a city.", "Gives the current time of a place.", "Reads the clock of a city."], [(["city", "place", "location"], "string")]),
            "lookup" => (["lookup", "table.lookup", "find_entry", "data.find", "search_table"],
                ["Looks up a key in a table.", "Finds an entry of a table.", "Reads one value from a table."], [(["table", "sheet"], "string"), (["key", "entry", "name"], "string")]),
            "weather" => (["weather", "get_weather", "weather.today", "forecast"],
                ["Tells the weather of a city.", "Gives the weather for a place."], [(["city", "place", "location"], "string")]),
            "convert" => (["convert", "unit_converter", "units.convert", "convert_units"],
                ["Converts units.", "Turns a measure into another unit."], [(["value", "amount"], "number"), (["from", "from_unit"], "string"), (["to", "to_unit"], "string")]),
            "reminder" => (["reminder", "set_reminder", "reminders.add", "remind"],
                ["Sets a reminder.", "Reminds the user at a time."], [(["text", "what"], "string"), (["time", "at"], "string")]),
            "mail" => (["send_mail", "mail.send", "email"], ["Sends a mail.", "Writes a mail to a person."], [(["to", "recipient"], "string"), (["text", "body"], "string")]),
            "translate" => (["translate", "translator", "text.translate"], ["Translates a word.", "Translates into another language."], [(["text", "word"], "string"), (["language", "into"], "string")]),
            _ => (["play_music", "music.play", "player"], ["Plays music.", "Plays a kind of music."], [(["kind", "style"], "string")]),
        };
        string name = random.Pick(names);
        var chosen = new string[parameters.Length];
        for (int i = 0; i < chosen.Length; i++) chosen[i] = random.Pick(parameters[i].Names);
        string properties = string.Join(", ", parameters.Select((p, i) => $"\"{chosen[i]}\": {{\"type\": \"{p.Type}\"}}"));
        string required = string.Join(", ", chosen.Select(c => $"\"{c}\""));
        string json = $"{{\"type\": \"function\", \"function\": {{\"name\": \"{name}\", \"description\": \"{random.Pick(descriptions)}\", " +
            $"\"parameters\": {{\"type\": \"object\", \"properties\": {{{properties}}}, \"required\": [{required}]}}}}}}";
        return new Offer(kind, name, json, chosen);
    }

    private static Wish MakeWish(NanoRandom random, string kind) => kind switch
    {
        "calculator" => Calculate(random),
        "clock" => Clock(random),
        "lookup" => Lookup(random),
        "weather" => Weather(random),
        "convert" => Convert(random),
        "reminder" => Remind(random),
        "mail" => Mail(random),
        "translate" => Translate(random),
        _ => Music(random),
    };

    private static string Quoted(string text) => $"\"{text}\"";

    private static Wish Calculate(NanoRandom random)
    {
        int a = random.Range(2, 999), b = random.Range(2, 99), c = random.Range(2, 99);
        (string expression, string words, long result) = random.Below(6) switch
        {
            0 => ($"{a} + {b}", $"{a} plus {b}", a + b),
            1 => ($"{a} * {b}", $"{a} times {b}", (long)a * b),
            2 => ($"{a + b} - {b}", $"{a + b} minus {b}", a),
            3 => ($"{a * b} / {b}", $"{a * b} divided by {b}", a),
            4 => ($"{a} * {b} + {c}", $"{a} * {b} + {c}", (long)a * b + c),
            _ => ($"({a} + {c}) * {b}", $"({a} + {c}) * {b}", (long)(a + c) * b),
        };
        if (random.Chance(30)) words = expression;
        return new Wish(random.Below(4) switch { 0 => $"What is {words}?", 1 => $"Calculate {words}.", 2 => $"How much is {words}?", _ => $"Please tell me {words}." },
            $"calculate {words}", words, [Quoted(expression)], $"{{\"result\": {result}}}", $"{expression} is {result}.");
    }

    private static Wish Clock(NanoRandom random)
    {
        string city = random.Chance(60) ? random.Pick(Cities) : MadePlace(random), time = $"{random.Range(0, 23):00}:{random.Range(0, 59):00}";
        return new Wish(random.Below(4) switch { 0 => $"What time is it in {city}?", 1 => $"Tell me the time in {city}.", 2 => $"How late is it in {city}?", _ => $"What does the clock say in {city}?" },
            $"tell me the time in {city}", $"the time in {city}", [Quoted(city)], $"{{\"time\": \"{time}\"}}", $"It is {time} in {city}.");
    }

    private static Wish Lookup(NanoRandom random)
    {
        (string table, string what, string key, string value, bool text) = random.Below(5) switch
        {
            0 => ("prices", "price", random.Pick(Things), $"{random.Range(2, 999)}", false),
            1 => ("phones", "phone number", AnyName(random), $"{Digits(random, 3)}-{Digits(random, 4)}", true),
            2 => ("rooms", "room", AnyName(random), $"{random.Range(1, 400)}", false),
            3 => ("birthdays", "birthday", AnyName(random), $"{random.Range(1, 28)} {random.Pick(Months)}", true),
            _ => ("stock", "stock", random.Pick(Countables), $"{random.Range(0, 900)}", false),
        };
        string of = $"the {what} of {key}";
        bool found = random.Chance(88);
        return new Wish(random.Below(4) switch { 0 => $"What is {of}?", 1 => $"Look up {of}.", 2 => $"Please find {of} in the table.", _ => $"I need {of}." },
            $"look up {of}", of, [Quoted(table), Quoted(key)], found ? $"{{\"value\": {(text ? Quoted(value) : value)}}}" : "{\"error\": \"not found\"}",
            found ? $"{Big(of)} is {value}." : $"I could not find {of}.");
    }

    private static Wish Weather(NanoRandom random)
    {
        string city = random.Chance(60) ? random.Pick(Cities) : MadePlace(random), sky = random.Pick(["sunny", "cloudy", "rainy", "windy", "foggy", "snowy"]);
        int degrees = random.Range(1, 35);
        return new Wish(random.Below(3) switch { 0 => $"How is the weather in {city}?", 1 => $"What is the weather like in {city}?", _ => $"Tell me the weather in {city}." },
            $"tell me the weather in {city}", $"the weather in {city}", [Quoted(city)], $"{{\"sky\": \"{sky}\", \"degrees\": {degrees}}}", $"It is {sky} in {city} with {degrees} degrees.");
    }

    private static Wish Convert(NanoRandom random)
    {
        (string from, string to) = random.Pick([("miles", "km"), ("km", "miles"), ("pounds", "kg"), ("kg", "pounds"), ("inches", "cm"), ("cm", "inches"), ("feet", "metres"), ("litres", "gallons")]);
        int value = random.Range(2, 500);
        string result = $"{random.Range(1, 900)}.{random.Range(1, 9)}";
        return new Wish(random.Below(3) switch { 0 => $"How much are {value} {from} in {to}?", 1 => $"Convert {value} {from} to {to}.", _ => $"Turn {value} {from} into {to}." },
            $"convert {value} {from} to {to}", $"{value} {from} in {to}", [$"{value}", Quoted(from), Quoted(to)], $"{{\"result\": {result}}}", $"{value} {from} are {result} {to}.");
    }

    private static Wish Remind(NanoRandom random)
    {
        string plan = random.Pick(Plans).Replace("my ", "the ", StringComparison.Ordinal), time = Time(random);
        return new Wish(random.Below(3) switch { 0 => $"Remind me at {time} to {plan}.", 1 => $"Set a reminder for {time}: {plan}.", _ => $"At {time} I must {plan}. Remind me of it." },
            $"remind me at {time} to {plan}", $"a reminder at {time}", [Quoted(plan), Quoted(time)], "{\"ok\": true}", $"I will remind you at {time} to {plan}.");
    }

    private static Wish Mail(NanoRandom random)
    {
        string name = AnyName(random), text = random.Pick(["I am late", "see you soon", "happy birthday", "dinner is ready", "the train is late", "I am at home"]);
        return new Wish(random.Below(2) == 0 ? $"Send a mail to {name}: {text}." : $"Write {name} a mail that says: {text}.",
            $"send {name} the mail \"{text}\"", $"a mail to {name}", [Quoted(name), Quoted(text)], "{\"sent\": true}", $"The mail to {name} is sent.");
    }

    private static Wish Translate(NanoRandom random)
    {
        string word = random.Pick(Things), language = random.Pick(["German", "French", "Spanish", "Italian"]), result = MadeName(random).ToLowerInvariant();
        return new Wish(random.Below(2) == 0 ? $"Translate {word} into {language}." : $"What is {word} in {language}?",
            $"translate {word} into {language}", $"{word} in {language}", [Quoted(word), Quoted(language)], $"{{\"text\": \"{result}\"}}", $"The {language} word for {word} is {result}.");
    }

    private static Wish Music(NanoRandom random)
    {
        string kind = random.Pick(["quiet music", "dance music", "piano music", "old songs", "jazz", "folk songs"]);
        return new Wish(random.Below(2) == 0 ? $"Play some {kind}." : $"I want to hear {kind}.",
            $"play some {kind}", $"to hear {kind}", [Quoted(kind)], "{\"ok\": true}", $"I play {kind} for you.");
    }
}
