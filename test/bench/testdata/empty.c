/* The least that an executable can do. */
int main(void) { return 0; }
