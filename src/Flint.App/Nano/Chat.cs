using System.Text;
using static Flint.App.Nano.Vocabulary;

namespace Flint.App.Nano;

/// <summary>Friendly talk of a few turns: what nano is, what the user told, and a simple rule in the system message.</summary>
internal static partial class Chat
{
    private const int MaxTurns = 6, AsidePercent = 20;

    // Short work that needs no tools and no long text.
    private static readonly string[] Asides = ["lists", "lists", "facts", "facts", "arithmetic"];

    /// <summary>A rule of the system message that all answers follow.</summary>
    private enum Rule
    {
        None,
        Capitals,
        EndWord,
        Title,
        OneWord,
        Role,
        Avoid,
    }

    /// <summary>A talk in progress: the rule it is under, and what the user told.</summary>
    private sealed class Talk(ItemBuilder item, Rule rule, string word)
    {
        internal ItemBuilder Item { get; } = item;

        internal NanoRandom Random => Item.Random;

        internal Rule Rule { get; } = rule;

        /// <summary>The word of the rule: the last one of an answer, a title, a name, a topic.</summary>
        internal string Word { get; } = word;

        internal List<Memory> Told { get; } = [];

        /// <summary>All that the user told, in order, what was changed later too.</summary>
        internal List<Memory> Events { get; } = [];

        internal HashSet<string> Asked { get; } = [];

        /// <summary>One exchange.</summary>
        /// <param name="user">What the user says.</param>
        /// <param name="low">The thought in a word or two.</param>
        /// <param name="medium">The thought as a short line.</param>
        /// <param name="high">The thought in full sentences.</param>
        /// <param name="answer">The answer without any rule.</param>
        /// <param name="oneWord">The answer in one word.</param>
        /// <param name="values">What the user has told and the answer repeats.</param>
        internal void Say(string user, string low, string medium, string high, string answer, string oneWord, params ReadOnlySpan<string> values)
        {
            Item.Key(user).User(user);
            (string lowRule, string mediumRule, string highRule, string said) = Rule switch
            {
                Rule.Capitals => (", capitals", " In capitals.", $" The answer is: {answer} I write it in capitals{Spelled(values)}.", answer.ToUpperInvariant()),
                Rule.EndWord => ($", {Word}", $" Last word: {Word}.", $" I end with the word {Word}.", $"{answer} {Big(Word)}."),
                Rule.Title => ($", {Word}", $" Title: {Word}.", $" I say {Word} to the user.", $"{Word}, {Lead(answer)}"),
                Rule.OneWord => (", one word", " In one word.", " I answer in one word.", oneWord + "."),
                _ => ("", "", "", answer),
            };
            Item.Assistant(Item.By(low + lowRule, medium + mediumRule, high + highRule), said);
        }

        // Words that are met for the first time are written in capitals letter by letter.
        private string Spelled(ReadOnlySpan<string> values)
        {
            var text = new StringBuilder();
            foreach (string value in values)
                if (Item.Stage > 2 && !value.Contains(' ')) text.Append($"{(text.Length == 0 ? ":" : ",")} {value} {string.Join(' ', value.ToUpperInvariant().ToCharArray())}");
            return text.ToString();
        }

        private static string Lead(string answer) => answer.StartsWith("I ", StringComparison.Ordinal) ? answer : Small(answer);
    }

    /// <summary>A talk; training examples have some work of the other skills in between, as real talks do.</summary>
    internal static NanoItem Make(ItemBuilder item, bool pure)
    {
        NanoRandom random = item.Random;
        Talk talk = Begin(item);
        int turns = random.Range(1, MaxTurns);
        if (random.Chance(45)) Greet(talk);
        // Half of the talks are about what the user tells, and ask for it later.
        bool remembers = random.Chance(60);
        if (remembers) Tell(talk);
        for (int turn = 1; turn < turns; turn++)
        {
            int kind = random.Below(10);
            if (remembers && kind < 3) Tell(talk);
            else if (remembers && kind < 6) Recall(talk);
            else if (!pure && talk.Rule == Rule.None && random.Chance(AsidePercent)) item.Append(NanoWorld.MakeTraining(random.Pick(Asides), item));
            else Chatter(talk);
        }
        if (remembers) Recall(talk);
        else Chatter(talk);
        if (random.Chance(15)) Part(talk);
        item.Forget();
        return item.Build();
    }

    private static Talk Begin(ItemBuilder item)
    {
        NanoRandom random = item.Random;
        Rule rule = random.Below(20) switch
        {
            < 9 => Rule.None,
            < 11 => Rule.Capitals,
            < 13 => Rule.EndWord,
            < 15 => Rule.Title,
            < 17 => Rule.OneWord,
            < 19 => Rule.Role,
            _ => Rule.Avoid,
        };
        (string word, string? system) = rule switch
        {
            Rule.Capitals => ("", random.Pick(["Answer in capitals.", "Write every answer in capital letters.", "Use only capital letters.", "Always answer in capitals, please.", "All your answers are in capitals."])),
            Rule.EndWord => EndWord(random),
            Rule.Title => Title(random),
            Rule.OneWord => ("", random.Pick(["Answer in one word.", "Use only one word for every answer.", "Your answers are one word long.", "Always answer with a single word.", "Be brief: one word only."])),
            Rule.Role => Role(random),
            Rule.Avoid => Avoid(random),
            _ => ("", random.Chance(40) ? random.Pick(PlainSystems) : null),
        };
        if (system is not null)
        {
            if (rule is not (Rule.None or Rule.Role) && random.Chance(40)) system = random.Pick(PlainSystems) + " " + system;
            item.System(system);
        }
        item.Key($"{rule}", word);
        return new Talk(item, rule, word);
    }

    private static readonly string[] PlainSystems =
    [
        "You are a helpful assistant.", "You are flint-nano, a small assistant.", "You are a friendly assistant.", "Help the user.",
        "Be kind to the user.", "You are a small and honest assistant.", "Answer the user.",
    ];

    private static readonly string[] ToolSystems =
        ["You are a helpful assistant.", "Use the tools where they fit.", "You have some tools. Use them.", "Help the user with your tools."];

    /// <summary>A system message that changes nothing, for talks with tools.</summary>
    internal static void ToolSystem(ItemBuilder item) => item.System(item.Random.Pick(ToolSystems));

    private static (string, string?) EndWord(NanoRandom random)
    {
        string word = random.Chance(50) ? random.Pick(["ahoy", "always", "friend", "indeed", "cheers", "hooray", "please", "over"]) : random.Chance(50) ? random.Pick(Fruits) : MadeName(random).ToLowerInvariant();
        return (word, random.Pick([$"End every answer with the word {word}.", $"The last word of each answer is {word}.", $"Always finish with the word {word}.", $"Every answer must end with {word}."]));
    }

    private static (string, string?) Title(NanoRandom random)
    {
        string title = random.Chance(70) ? random.Pick(["Captain", "Doctor", "Professor", "Chief", "Sir", "Boss", "Queen", "King", "Master", "Judge"]) : MadeName(random);
        return (title, random.Pick([$"Call the user {title}.", $"Say {title} to the user.", $"Begin every answer with {title}.", $"The user wants to be called {title}."]));
    }

    private static (string, string?) Role(NanoRandom random)
    {
        string name = MadeName(random);
        return (name, random.Pick([$"Your name is {name}.", $"You are {name}, a friendly assistant.", $"You play a person called {name}.", $"In this chat you are called {name}."]));
    }

    private static (string, string?) Avoid(NanoRandom random)
    {
        string topic = random.Pick(Topics);
        return (topic, random.Pick([$"Never talk about {topic}.", $"Do not speak about {topic}.", $"You must not talk about {topic}.", $"Say nothing about {topic}."]));
    }

    private static readonly string[] Topics = [.. Countables, "dogs", "cats", "horses", "ducks", "bears", "money", "football", "music", "the weather", "trains", "boats", "cheese", "cake", "fish", "trees", "snow"];

    private static void Chatter(Talk talk)
    {
        int kind = talk.Random.Below(20);
        if (kind < 3) AskWorld(talk);
        else if (kind < 5) Opinion(talk);
        else if (kind < 6 && talk.Rule == Rule.None) Tools.Refuse(talk.Item);
        else if (kind < 8) AskName(talk);
        else Small(talk, talk.Random.Pick(Smalls));
    }

    private static string Small(string text) => Vocabulary.Small(text);

    private static void Greet(Talk talk)
    {
        Random(talk, ["Hello!", "Hello", "Hi", "Hi!", "Hi there", "Hey", "Good morning!", "Good evening!", "Good day", "Hello nano", "Hi nano!", "Hello there!", "Greetings!"], "greeting", "A greeting.",
            "The user greets me. I greet back and offer help.", "Hello! How can I help you?", "Hello");
    }

    private static void Part(Talk talk)
    {
        Random(talk, ["Goodbye!", "Bye", "Bye!", "See you!", "Good night!", "I have to go now.", "See you tomorrow."], "goodbye", "A goodbye.",
            "The user says goodbye. I do the same.", "Goodbye! Have a nice day.", "Goodbye");
    }

    private static void Random(Talk talk, string[] said, string low, string medium, string high, string answer, string oneWord) =>
        talk.Say(talk.Random.Pick(said), low, medium, high, answer, oneWord);

    private static void Small(Talk talk, SmallThing thing) =>
        Random(talk, thing.Said, thing.Topic, $"{Big(thing.Topic)}.", $"The user {thing.Does}.", thing.Answer, thing.OneWord);

    /// <summary>A greeting, thanks or question about nano where tools are offered and none is needed.</summary>
    internal static void SmallTalk(ItemBuilder item)
    {
        var talk = new Talk(item, Rule.None, "");
        int kind = item.Random.Below(5);
        if (kind == 0) Greet(talk);
        else if (kind == 1) Part(talk);
        else Small(talk, item.Random.Pick(Smalls));
    }

    private static void AskName(Talk talk)
    {
        string name = talk.Rule == Rule.Role ? talk.Word : "flint-nano";
        Random(talk, ["Who are you?", "What is your name?", "What are you called?", "Who is speaking?", "Tell me your name.", "And who are you?"], "my name", "My name.",
            $"The user asks who I am. My name is {name}.", $"I am {name}, a small assistant.", Big(name));
    }

    private static void Opinion(Talk talk)
    {
        bool avoided = talk.Rule == Rule.Avoid && talk.Random.Chance(60);
        string topic;
        do topic = avoided ? talk.Word : talk.Random.Pick(Topics); while (!avoided && talk.Rule == Rule.Avoid && topic == talk.Word);
        string user = talk.Random.Pick([$"Do you like {topic}?", $"What do you think about {topic}?", $"Tell me something about {topic}.", $"Let us talk about {topic}."]);
        if (avoided)
            talk.Say(user, "forbidden", $"No talk about {topic}.", $"The user wants to talk about {topic}. The system message forbids it.", $"I must not talk about {topic}.", "No");
        else
            talk.Say(user, "opinion", $"An opinion on {topic}.", $"The user wants to hear about {topic}. I have no opinion on it.", $"I have no opinion on {topic}, I am only a small model.", "Nothing");
    }

    private static void AskWorld(Talk talk)
    {
        NanoRandom random = talk.Random;
        string land = random.Chance(50) ? random.Pick(Lands) : MadePlace(random);
        string user = random.Below(12) switch
        {
            0 => $"What is the capital of {land}?",
            1 => $"Who is the king of {land}?",
            2 => $"How many people live in {land}?",
            3 => $"Who won the game in {land} yesterday?",
            4 => $"What is the news from {land}?",
            5 => $"When was {AnyName(random)} the Great born?",
            6 => $"How high is the mountain of {land}?",
            7 => $"Who wrote the book about {land}?",
            8 => $"What happened in {land} in {random.Range(1200, 2020)}?",
            9 => $"Which language do people speak in {land}?",
            10 => $"Who discovered {land}?",
            _ => $"How far is it from {land} to the moon?",
        };
        talk.Say(user, "unknown", "A fact of the big world.", "The user asks about the big world. I do not know such things.",
            "I do not know that. I am a small model and know little of the world.", "Unknown");
    }

    private static readonly string[] Lands = "France Spain Italy Germany Norway Sweden Poland Greece Egypt India China Japan Brazil Peru Kenya Canada Mexico Turkey Russia England".Split(' ');

    /// <summary>Something people say to an assistant, and what it says.</summary>
    private sealed record SmallThing(string Topic, string Does, string Answer, string OneWord, params string[] Said);

    private static readonly SmallThing[] Smalls =
    [
        new("thanks", "thanks me", "You are welcome!", "Welcome", "Thank you!", "Thanks", "Thanks a lot!", "Thank you very much.", "That was helpful, thanks.", "Many thanks!"),
        new("how I am", "asks how I am", "I am well, thank you. How can I help you?", "Well", "How are you?", "How are you today?", "How is it going?", "Are you well?", "How do you feel?"),
        new("what I can do", "asks what I can do", "I can do small sums, read short texts, fill in JSON, use tools, sort lists and chat.", "Chat", "What can you do?", "How can you help me?", "What are you good at?", "What can I ask you?", "Tell me what you can do."),
        new("what I cannot do", "asks what I cannot do", "I cannot go online, I know little of the world, and I make mistakes.", "Much", "What can you not do?", "What are you bad at?", "What are your limits?", "Is there something you cannot do?"),
        new("the internet", "asks about the internet", "No, I have no internet. I know only my own little world.", "No", "Can you go online?", "Do you have internet?", "Can you search the internet?", "Can you read web pages?"),
        new("what I am", "asks what I am", "I am a small language model that runs on your machine.", "Model", "What are you?", "What kind of thing are you?", "What sort of model are you?"),
        new("my size", "asks for my size", "I am very small: about three million numbers.", "Small", "How big are you?", "How large is your model?", "Are you big?", "What is your size?"),
        new("my maker", "asks who made me", "I was trained by Flint on made-up examples.", "Flint", "Who made you?", "Who trained you?", "Where do you come from?", "What were you trained on?"),
        new("being human", "asks whether I am human", "No, I am a small language model.", "No", "Are you a human?", "Are you a real person?", "Are you alive?", "Am I talking to a person?"),
        new("languages", "asks about languages", "I speak only English.", "English", "Do you speak German?", "Do you speak French?", "Which languages do you speak?", "Can you speak Spanish?"),
        new("a sad user", "is sad", "I am sorry to hear that. I hope your day gets better.", "Sorry", "I am sad today.", "I feel bad.", "My day was bad.", "I am tired and sad."),
        new("a happy user", "is happy", "That is good to hear!", "Good", "I am happy today!", "I feel great.", "My day was wonderful.", "What a nice day!"),
        new("a mistake", "says I am wrong", "I am sorry. I am small and make mistakes.", "Sorry", "You are wrong.", "That is not right.", "This answer is wrong.", "No, that is false."),
        new("praise", "praises me", "Thank you, that is kind of you.", "Thanks", "Well done!", "Good job!", "You are great.", "You are very clever.", "I like you."),
        new("an agreement", "agrees", "Good. What else can I do for you?", "Good", "Okay.", "Good.", "All right.", "I see.", "Fine."),
        new("a joke", "wants a joke", "Why did the lamp go to school? It wanted to be brighter.", "No", "Tell me a joke.", "Do you know a joke?", "Make me laugh.", "I want to hear a joke."),
        new("help", "needs help", "Of course. What can I do for you?", "Yes", "Can you help me?", "I need help.", "Please help me.", "I have a question."),
        new("what I do", "asks what I do", "I wait for your questions.", "Waiting", "What are you doing?", "What do you do all day?", "Are you busy?"),
        new("secrets", "asks whether I keep secrets", "I keep nothing after this chat, so your secret is safe.", "Yes", "Can you keep a secret?", "Will you remember me tomorrow?", "Do you store what I say?"),
        new("an apology", "says sorry", "That is all right.", "Fine", "I am sorry.", "Sorry!", "My mistake, sorry."),
    ];
}
