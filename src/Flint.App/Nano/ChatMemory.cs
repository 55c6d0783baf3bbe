using static Flint.App.Nano.Vocabulary;

namespace Flint.App.Nano;

/// <summary>What users tell about themselves, and ask for later.</summary>
internal static partial class Chat
{
    /// <summary>Something the user told.</summary>
    /// <param name="Kind">What it is about.</param>
    /// <param name="Told">The user's sentence.</param>
    /// <param name="Noted">The same from nano's side: your dog is called Bela.</param>
    /// <param name="Value">The value alone.</param>
    private sealed record Memory(string Kind, string Told, string Noted, string Value);

    private static readonly string[] MemoryKinds = "name colour number pet town job age food plan code month friend".Split(' ');

    /// <summary>The question for a kind, and what it asks for from nano's side.</summary>
    private static (string[] Ask, string About) AskFor(string kind) => kind switch
    {
        "name" => (["What is my name?", "Do you know my name?", "Who am I?", "Do you remember my name?"], "your name"),
        "colour" => (["What is my favourite colour?", "Which colour do I like best?", "Do you remember my favourite colour?"], "your favourite colour"),
        "number" => (["What is my lucky number?", "Which number is my lucky one?", "Do you remember my lucky number?"], "your lucky number"),
        "pet" => (["What is my pet called?", "What is the name of my pet?", "Do you remember the name of my pet?"], "the name of your pet"),
        "town" => (["Where do I live?", "In which town do I live?", "Do you remember where I live?"], "where you live"),
        "job" => (["What is my job?", "What do I work as?", "Do you remember my job?"], "your job"),
        "age" => (["How old am I?", "What is my age?", "Do you remember how old I am?"], "your age"),
        "food" => (["What food do I like best?", "What is my favourite food?", "Do you remember my favourite food?"], "your favourite food"),
        "plan" => (["What do I want to do tomorrow?", "What is my plan for tomorrow?", "Do you remember my plan?"], "your plan for tomorrow"),
        "code" => (["What was the code?", "What is the code?", "Do you remember the code?", "Tell me the code again."], "the code"),
        "month" => (["In which month is my birthday?", "When is my birthday?", "Do you remember the month of my birthday?"], "the month of your birthday"),
        _ => (["Who is my best friend?", "What is my best friend called?", "Do you remember my best friend?"], "your best friend"),
    };

    private static Memory Remember(NanoRandom random, string kind)
    {
        string value = kind switch
        {
            "name" or "friend" => AnyName(random),
            "colour" => random.Pick(Colours),
            "number" => $"{random.Range(2, 999)}",
            "pet" => MadeName(random),
            "town" => random.Chance(30) ? random.Pick(Cities) : MadePlace(random),
            "job" => random.Pick(Jobs),
            "age" => $"{random.Range(7, 95)}",
            "food" => random.Pick(Foods),
            "plan" => random.Pick(Plans),
            "code" => Code(random),
            _ => random.Pick(Months),
        };
        string animal = random.Pick(Pets);
        (string told, string noted) = kind switch
        {
            "name" => (random.Pick([$"my name is {value}", $"I am called {value}", $"you can call me {value}"]), $"your name is {value}"),
            "colour" => (random.Pick([$"my favourite colour is {value}", $"I like the colour {value} best"]), $"your favourite colour is {value}"),
            "number" => (random.Pick([$"my lucky number is {value}", $"{value} is my lucky number"]), $"your lucky number is {value}"),
            "pet" => (random.Pick([$"my {animal} is called {value}", $"I have {A(animal)} called {value}", $"my pet is {A(animal)}, its name is {value}"]), $"your {animal} is called {value}"),
            "town" => (random.Pick([$"I live in {value}", $"my home is in {value}", $"my house is in {value}"]), $"you live in {value}"),
            "job" => (random.Pick([$"I work as {A(value)}", $"I am {A(value)}", $"my job is that of {A(value)}"]), $"you work as {A(value)}"),
            "age" => (random.Pick([$"I am {value} years old", $"my age is {value}", $"I turned {value} this year"]), $"you are {value} years old"),
            "food" => (random.Pick([$"I like {value} best", $"my favourite food is {value}"]), $"you like {value} best"),
            "plan" => (random.Pick([$"tomorrow I want to {value}", $"my plan for tomorrow is to {value}"]), $"tomorrow you want to {value.Replace("my ", "your ", StringComparison.Ordinal)}"),
            "code" => (random.Pick([$"the code is {value}", $"remember the code {value}", $"our code is {value}"]), $"the code is {value}"),
            "month" => (random.Pick([$"my birthday is in {value}", $"I was born in {value}"]), $"your birthday is in {value}"),
            _ => (random.Pick([$"my best friend is {value}", $"my best friend is called {value}"]), $"your best friend is {value}"),
        };
        return new Memory(kind, Big(told) + ".", noted, value);
    }

    private static void Tell(Talk talk)
    {
        NanoRandom random = talk.Random;
        bool change = talk.Told.Count > 0 && random.Chance(20);
        // A code may not be asked for before it is told: another answer would be right then.
        string kind = change ? talk.Told[random.Below(talk.Told.Count)].Kind : random.Pick(MemoryKinds);
        if (talk.Rule == Rule.OneWord && kind == "plan") kind = "code";
        change = talk.Told.Exists(m => m.Kind == kind);
        Memory memory = Remember(random, kind);
        if (talk.Told.Exists(m => m.Noted == memory.Noted)) return;
        talk.Told.RemoveAll(m => m.Kind == kind);
        talk.Events.Add(memory);
        if (change)
        {
            string lead = random.Pick(["No, wait: ", "I was wrong: ", "Correction: ", "That has changed: ", "Sorry, I meant this: "]);
            memory = memory with { Told = lead + Lower(memory.Told) };
            talk.Told.Add(memory);
            talk.Say(memory.Told, "new", $"New: {memory.Noted}.", $"The user changes something: {memory.Noted}. I note it.", $"Understood, {memory.Noted}.", "Noted", memory.Value);
            return;
        }
        Memory? second = null;
        if (random.Chance(30))
        {
            string other = random.Pick(MemoryKinds);
            if (other != kind && (talk.Rule != Rule.OneWord || other != "plan") && !talk.Told.Exists(m => m.Kind == other)) second = Remember(random, other);
        }
        if (second is not null)
        {
            string both = $"{memory.Told[..^1]} and {Lower(second.Told)}";
            memory = memory with { Told = both };
            talk.Told.Add(memory);
            talk.Told.Add(second with { Told = both });
            talk.Events.Add(second);
            talk.Say(both, "noted", $"Noted: {memory.Noted}, {second.Noted}.", $"The user tells two things: {memory.Noted} and {second.Noted}. I note them.", $"I will remember that {memory.Noted} and {second.Noted}.", "Noted", memory.Value, second.Value);
            return;
        }
        string told = kind == "name" && random.Chance(50) ? $"{random.Pick(["Hello, ", "Hi, "])}{Lower(memory.Told)}" : memory.Told;
        talk.Told.Add(memory with { Told = told });
        talk.Say(told, "noted", $"Noted: {memory.Noted}.", $"The user tells something: {memory.Noted}. I note it.",
            kind == "name" ? $"Nice to meet you, {memory.Value}!" : $"I will remember that {memory.Noted}.", "Noted", memory.Value);
    }

    private static string Lower(string told) => told.StartsWith("I ", StringComparison.Ordinal) ? told : Vocabulary.Small(told);

    private static void Recall(Talk talk)
    {
        NanoRandom random = talk.Random;
        bool known = talk.Told.Count > 0 && random.Chance(80);
        string kind = known ? talk.Told[random.Below(talk.Told.Count)].Kind : random.Pick(MemoryKinds);
        Memory? memory = talk.Told.Find(m => m.Kind == kind);
        if (talk.Rule == Rule.OneWord && kind == "plan") return;
        (string[] ask, string about) = AskFor(kind);
        if (!talk.Asked.Add(kind + memory?.Value)) return;
        string user = random.Pick(ask);
        string asked = $"The user asks for something: {about}.";
        if (talk.Item.Stage > 2)
            asked = $"The user asks for {about}.{string.Concat(talk.Events.Select(m => $" {m.Value}, {AskFor(m.Kind).About}: {(m.Kind == kind ? "yes" : "no")}."))}";
        if (memory is null)
            talk.Say(user, "not told", "Not told before.", $"{asked} {(talk.Item.Stage > 2 ? "Not told." : "In this chat it was not told.")}", $"You have not told me {about}.", "Unknown");
        else
            talk.Say(user, memory.Value, $"Told before: \"{memory.Told}\"", talk.Item.Stage > 2 ? asked : $"{asked} The user told me before: \"{memory.Told}\"", Big(memory.Noted) + ".",
                Big(memory.Value), memory.Value);
    }
}
