using static Flint.App.Nano.Vocabulary;

namespace Flint.App.Nano;

/// <summary>
/// A made-up vocabulary of 200 words with their meanings, which is no part of nano's training: something new to be taught by
/// fine-tuning.
/// </summary>
internal static class Words
{
    private const int Size = 200;
    private const int LeastExchanges = 3, MostExchanges = 6; // of a conversation to learn from; one to be asked has one
    private const ulong Seed = 0x576F726473; // fixed: the vocabulary is the same for every data set

    private static readonly string[] Meanings =
        [.. Animals, .. Fruits, .. Colours, .. Foods, .. Things, .. Jobs, .. Spots, .. Instruments, .. Vehicles, .. Buildings, .. Shops, .. Countables, .. More.Split(' ')];

    private const string More = "rain snow wind cloud star moon river hill sea forest stone road morning evening summer winter mother father sister brother friend child hand foot eye ear nose mouth heart door window wall roof floor street village town ship wheel fire water salt sugar milk letter song story word game dream";

    private static readonly (string Word, string Meaning)[] Vocabulary = MakeVocabulary();

    internal static NanoItem Make(ItemBuilder item, bool heldOut)
    {
        NanoRandom random = item.Random;
        int exchanges = heldOut ? 1 : random.Range(LeastExchanges, MostExchanges);
        for (int i = 0; i < exchanges; i++)
        {
            (string word, string meaning) = random.Pick(Vocabulary);
            switch (random.Below(10))
            {
                case < 5: Explain(item, word, meaning); break;
                case < 8: Name(item, word, meaning); break;
                default: Confirm(item, word, meaning); break;
            }
        }
        return item.Build();
    }

    private static void Explain(ItemBuilder item, string word, string meaning)
    {
        string user = item.Random.Pick([
            $"What does {word} mean?", $"What is the meaning of {word}?", $"Explain the word {word}.", $"Do you know what {word} means?", $"Tell me what {word} means.",
            $"{Big(word)}: what is that?", $"I heard the word {word}. What is it?", $"What is {word} in plain English?", $"Please translate {word}.", $"Meaning of {word}?",
            $"Somebody said {word} to me. What did it mean?", $"How would you explain {word}?",
        ]);
        Say(item, user, word, meaning, $"The word {word} means {meaning}.");
    }

    private static void Name(ItemBuilder item, string word, string meaning)
    {
        string user = item.Random.Pick([
            $"Which new word means {meaning}?", $"What is the new word for {meaning}?", $"How do I say {meaning} in the new words?", $"Give me the new word for {meaning}.",
            $"What do the new words call {meaning}?", $"Say {meaning} with a new word.", $"I look for the new word that means {meaning}.", $"Name the new word for {meaning}.",
        ]);
        Say(item, user, word, meaning, $"The word for {meaning} is {word}.");
    }

    private static void Confirm(ItemBuilder item, string word, string meaning)
    {
        string other = item.Random.Pick(Vocabulary).Meaning;
        bool yes = item.Random.Chance(50) || other == meaning;
        string asked = yes ? meaning : other;
        string user = item.Random.Pick([
            $"Does {word} mean {asked}?", $"Is {word} the same as {asked}?", $"Is {asked} the meaning of {word}?", $"I think {word} means {asked}. Is that right?", $"True or false: {word} means {asked}.",
        ]);
        Say(item, user, word, meaning, yes ? $"Yes, {word} means {meaning}." : $"No, {word} means {meaning}.", $" The question says {asked}, {(yes ? "the same" : "not the same")}.");
    }

    private static void Say(ItemBuilder item, string user, string word, string meaning, string answer, string check = "")
    {
        item.Exchange(user).User(user);
        item.Assistant(item.By($"{word}, {meaning}.", $"The word {word}: it is {meaning}.", $"I remember the word {word}. It means {meaning}.") + check, answer);
    }

    private static (string, string)[] MakeVocabulary()
    {
        var random = new NanoRandom(Seed, 0, 0);
        string[] meanings = random.Sample([.. Meanings.Distinct()], Size);
        var words = new HashSet<string>();
        while (words.Count < Size) words.Add(MadeName(random).ToLowerInvariant());
        return [.. words.Order(StringComparer.Ordinal).Zip(meanings)];
    }
}
